"""Let the batch grow instead of the learning rate fall: noise fades, steps stay long."""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from demo_parts.data import load
from demo_parts.networks import MLP, accuracy, cross_entropy

import gradtx as gx


def run(tx, batch_size, budget, data, seed=0):
    """Train until `budget` examples were seen; batch_size(step) says how many a step takes."""
    params = MLP.init(jax.random.key(seed))
    state, rng = tx.init(params), np.random.default_rng(seed)

    @jax.jit
    def train_step(params, state, images, labels):
        grads = jax.grad(lambda p: cross_entropy(MLP.apply(p, images), labels))(params)
        return tx.step(grads, state, params)

    seen = steps = 0
    while seen < budget:
        size = int(batch_size(steps))
        chosen = rng.integers(0, len(data.train.labels), size)
        params, state = train_step(
            params, state, data.train.images[chosen], data.train.labels[chosen]
        )
        seen, steps = seen + size, steps + 1
    logits = MLP.apply(params, data.train.images)
    loss = cross_entropy(logits, data.train.labels)
    test = accuracy(MLP.apply(params, data.test.images), data.test.labels)
    return steps, float(loss), float(test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    budget = 2_000 if parser.parse_args().quick else 60_000
    data = load()

    # A schedule may give any number of the step; here it is a batch size: 16, 32, 64, ... 512.
    doublings = {k * budget // 1000: 2.0 for k in range(1, 6)}
    growing = gx.piecewise_constant_schedule(16.0, doublings)
    print(f"{budget} examples each\n\nbatch                   steps   train loss   test accuracy")
    for name, size in {
        "16, constant": gx.constant_schedule(16.0),
        "512, constant": gx.constant_schedule(512.0),
        "16 growing to 512": growing,
    }.items():
        steps, loss, test = run(gx.sgd(0.2, momentum=0.5), size, budget, data)
        print(f"{name:20s} {steps:8d} {loss:12.4f} {test:15.3f}")
        assert jnp.isfinite(loss)


if __name__ == "__main__":
    main()
