"""Checkpoints: the catalogue of files, their headers, their family, and loading them."""
