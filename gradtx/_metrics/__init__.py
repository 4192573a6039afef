"""Numbers out of a step."""
