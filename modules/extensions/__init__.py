"""Extensions: which there are, how they come and go, and the places where they plug in. Knows no PyTorch."""
