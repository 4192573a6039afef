"""Named optimizers: each is one chain and the paper it comes from."""
