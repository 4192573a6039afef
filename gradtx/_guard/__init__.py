"""Guards: what happens to a step whose gradients are no numbers, or far from the usual ones."""
