"""The pictures of `conditioning.py`."""
