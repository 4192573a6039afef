"""The text, the model and the pictures of gpt.py."""
