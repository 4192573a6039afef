"""One step for the gradients of several micro-steps."""
