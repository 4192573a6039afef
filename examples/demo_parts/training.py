"""Training one network with one optimizer, for several seeds at once."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx as gx

from .data import Digits, batch_order
from .networks import Network, accuracy, cross_entropy


class Settings(NamedTuple):
    """How long and on how much is trained."""

    steps: int = 600
    points: int = 60  # how often curves are recorded
    batch_size: int = 64
    seeds: tuple[int, ...] = (0, 1, 2)
    tuning_seeds: tuple[int, ...] = (100, 101, 102)  # as many: they share a compiled program

    @property
    def stride(self) -> int:
        return self.steps // self.points


class Run(NamedTuple):
    """One training run; the first axis of every array is the seed, the second the point."""

    loss: np.ndarray  # training loss, mean over the steps since the last point
    gradient_norm: np.ndarray  # likewise
    accuracy: np.ndarray  # validation accuracy at the point
    test_accuracy: np.ndarray  # (seeds,), at the end
    seconds: float  # of training, all seeds together, without compiling


class Trainer:
    """Trains one network with one optimizer; compiled once, whatever the learning rate."""

    def __init__(self, network: Network, optimizer: Callable[[Any], Any], digits: Digits, settings):
        self._network, self._optimizer = network, optimizer
        self._digits, self._settings = digits, settings
        began = time.perf_counter()
        params, order = self._start(settings.seeds)
        self._chunk = (
            jax.jit(jax.vmap(self._steps, in_axes=(None, 0, 0, 0, None, None)))
            .lower(jnp.float32(0.0), params, self._init(0.0, params), order[:, 0], *digits.train)
            .compile()
        )
        self.compile_seconds = time.perf_counter() - began

    def run(self, learning_rate: float, seeds, tick: Callable[[], None] = lambda: None) -> Run:
        """Train from the start; `tick` is called after each recorded point."""
        params, order = self._start(seeds)
        rate = jnp.float32(learning_rate)
        state = self._init(learning_rate, params)
        losses, norms, accuracies, seconds = [], [], [], 0.0
        for point in range(self._settings.points):
            began = time.perf_counter()
            params, state, loss, norm = self._chunk(
                rate, params, state, order[:, point], *self._digits.train
            )
            jax.block_until_ready(params)
            seconds += time.perf_counter() - began
            losses.append(loss)
            norms.append(norm)
            accuracies.append(_evaluate(self._network.apply, params, *self._digits.validation))
            tick()
        test = _evaluate(self._network.apply, params, *self._digits.test)
        columns = [np.stack(column, axis=1) for column in (losses, norms, accuracies)]
        return Run(*columns, np.asarray(test), seconds)

    def _start(self, seeds):
        keys = jnp.stack([jax.random.key(seed) for seed in seeds])
        examples = len(self._digits.train.labels)
        order = batch_order(seeds, examples, self._settings.steps, self._settings.batch_size)
        shape = (len(seeds), self._settings.points, self._settings.stride, -1)
        return _initialize(self._network.init, keys), jnp.asarray(order.reshape(shape))

    def _init(self, learning_rate, params):
        return jax.vmap(self._optimizer(learning_rate).init)(params)

    def _steps(self, learning_rate, params, state, order, images, labels):
        tx = self._optimizer(learning_rate)

        def loss(params, batch):
            return cross_entropy(self._network.apply(params, images[batch]), labels[batch])

        def step(carry, batch):
            params, state = carry
            value, grads = jax.value_and_grad(loss)(params, batch)
            params, state = tx.step(grads, state, params)
            return (params, state), (value, gx.tree.norm(grads))

        (params, state), (values, norms) = jax.lax.scan(step, (params, state), order)
        return params, state, jnp.mean(values), jnp.mean(norms)


# Random numbers take long to compile, and these are drawn once: fewer optimizations, 5 s less.
@partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 1})
def _initialize(init, keys):
    return jax.vmap(init)(keys)


@partial(jax.jit, static_argnums=0)
def _evaluate(apply, params, images, labels):
    return jax.vmap(lambda params: accuracy(apply(params, images), labels))(params)


def score(run: Run) -> float:
    """What the rates are chosen by: validation accuracy, mean over the whole run and all seeds."""
    return float(run.accuracy.mean())
