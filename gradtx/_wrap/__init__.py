"""Wrappers: transformations that run others inside."""
