"""Rules that remember moments of the gradient, a paper and its near variants a file."""
