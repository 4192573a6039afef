"""Two small networks as plain JAX functions: parameters in a dictionary, He initialization."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Network(NamedTuple):
    name: str
    description: str
    init: Callable[[jax.Array], Any]  # key -> params
    apply: Callable[[Any, jax.Array], jax.Array]  # params, images -> logits (examples, 10)


_he = jax.nn.initializers.he_normal()


def _init_mlp(key):
    hidden, out = jax.random.split(key)
    return {
        "hidden": {"w": _he(hidden, (64, 64)), "b": jnp.zeros(64)},
        "out": {"w": _he(out, (64, 10)), "b": jnp.zeros(10)},
    }


def _apply_mlp(params, images):
    x = images.reshape(images.shape[0], -1)
    x = jax.nn.relu(x @ params["hidden"]["w"] + params["hidden"]["b"])
    return x @ params["out"]["w"] + params["out"]["b"]


def _init_cnn(key):
    first, second, out = jax.random.split(key, 3)
    return {
        "conv1": {"w": _he(first, (3, 3, 1, 8)), "b": jnp.zeros(8)},
        "conv2": {"w": _he(second, (3, 3, 8, 16)), "b": jnp.zeros(16)},
        "out": {"w": _he(out, (4 * 4 * 16, 10)), "b": jnp.zeros(10)},
    }


def _apply_cnn(params, images):
    x = jax.nn.relu(_convolve(images, **params["conv1"], stride=1))
    x = jax.nn.relu(_convolve(x, **params["conv2"], stride=2))
    return x.reshape(x.shape[0], -1) @ params["out"]["w"] + params["out"]["b"]


def _convolve(x, w, b, stride):
    """A 3 x 3 convolution with zero padding: each output sees nine neighbouring pixels.

    Written as a matrix product over shifted images: under `vmap` over seeds XLA turns its own
    convolution into a grouped one, which takes three times as long on a CPU.
    """
    size = x.shape[1]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    neighbours = [
        padded[:, i : i + size : stride, j : j + size : stride] for i in range(3) for j in range(3)
    ]
    return jnp.concatenate(neighbours, axis=-1) @ w.reshape(-1, w.shape[-1]) + b


MLP = Network("MLP", "64 inputs, 64 hidden ReLU units, 10 outputs", _init_mlp, _apply_mlp)
CNN = Network("CNN", "3 x 3 convolutions to 8 and 16 channels, 10 outputs", _init_cnn, _apply_cnn)
NETWORKS = (MLP, CNN)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean negative log-likelihood of the labels, in nats."""
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)
    return -jnp.mean(picked)


def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The share of examples classified rightly: one minus the mean 0-1 loss."""
    return jnp.mean(jnp.argmax(logits, axis=-1) == labels)
