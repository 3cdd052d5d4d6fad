"""What happens to finished pictures: the chain of the Extras tab."""
