"""Upscalers: what is there, and how a picture is made larger with each of them."""
