"""Which optimizers are compared, with which settings, and at which learning rates."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

import gradtx as gx


class Entry(NamedTuple):
    """One optimizer: its constructor takes a learning rate first, then these settings."""

    constructor: Callable[..., Any]
    settings: Mapping[str, Any]

    def __call__(self, learning_rate):
        return self.constructor(learning_rate, **self.settings)

    def code(self, learning_rate: str = "lr") -> str:
        """The call as one would write it."""
        settings = "".join(f", {name}={value!r}" for name, value in self.settings.items())
        return f"{self.constructor.__name__}({learning_rate}{settings})"


OPTIMIZERS = {
    "SGD": Entry(gx.sgd, {}),
    "Momentum": Entry(gx.sgd, {"momentum": 0.9}),
    "Nesterov": Entry(gx.sgd, {"momentum": 0.9, "nesterov": True}),
    "Adagrad": Entry(gx.adagrad, {"initial_accumulator_value": 0.0, "eps": 1e-8}),
    "RMSProp": Entry(gx.rmsprop, {"decay": 0.9, "eps": 1e-8}),
    "Adadelta": Entry(gx.adadelta, {"rho": 0.95, "eps": 1e-6}),
    "Adam": Entry(gx.adam, {"b1": 0.9, "b2": 0.999, "eps": 1e-8}),
    "AMSGrad": Entry(gx.amsgrad, {"b1": 0.9, "b2": 0.999, "eps": 1e-8}),
    "Adamax": Entry(gx.adamax, {"b1": 0.9, "b2": 0.999, "eps": 1e-8}),
    "Nadam": Entry(gx.nadam, {"b1": 0.9, "b2": 0.999, "eps": 1e-8}),
    "AdamW": Entry(gx.adamw, {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.01}),
    "Lion": Entry(gx.lion, {"b1": 0.9, "b2": 0.99, "weight_decay": 0.0}),
}

GROUPS = {
    "Momentum": ("SGD", "Momentum", "Nesterov", "Lion"),
    "Running squares": ("Adagrad", "RMSProp", "Adadelta"),
    "The Adam family": ("Adam", "AMSGrad", "Adamax", "Nadam", "AdamW"),
}

# The same grid for all: two rates per decade. Adadelta has no learning rate; for it the number
# multiplies the step of the paper, whose own choice is 1.
GRID = tuple(float(f"{rate:.2g}") for rate in np.geomspace(1e-4, 10.0**1.5, 12))

# Chosen by `python examples/demo.py --tune`: for each optimizer and network the rate of the grid
# with the highest validation accuracy, averaged over the whole run and over the tuning seeds. The
# final runs use other seeds, and the test set is looked at once, at their end.
RATES = {
    "MLP": {
        "SGD": 1.0,
        "Momentum": 0.32,
        "Nesterov": 0.32,
        "Adagrad": 0.1,
        "RMSProp": 0.01,
        "Adadelta": 3.2,
        "Adam": 0.032,
        "AMSGrad": 0.01,
        "Adamax": 0.032,
        "Nadam": 0.032,
        "AdamW": 0.032,
        "Lion": 0.01,
    },
    "CNN": {
        "SGD": 0.32,
        "Momentum": 0.1,
        "Nesterov": 0.1,
        "Adagrad": 0.032,
        "RMSProp": 0.032,
        "Adadelta": 3.2,
        "Adam": 0.01,
        "AMSGrad": 0.0032,
        "Adamax": 0.032,
        "Nadam": 0.032,
        "AdamW": 0.032,
        "Lion": 0.01,
    },
}
