"""Hyperparameters in the state of any transformation."""
