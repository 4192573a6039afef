"""Groups of leaves: by masks, by labels and by paths."""
