"""A file of our own. Others import it as ``scripts.tutorial_helper``."""

SEEN = []


def note(hook, **facts):
    """Remember that a hook was called, for the tests."""
    SEEN.append((hook, facts))
