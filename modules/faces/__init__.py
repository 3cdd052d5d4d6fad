"""Restoring faces in finished pictures."""
