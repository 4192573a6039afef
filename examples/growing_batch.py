"""Let the batch grow instead of the learning rate fall: noise fades, steps stay long."""

import argparse

import jax
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

    # A schedule may give any number of the step; here it is a batch size: 16, 32, 64, 128, each
    # for a quarter of the examples. Beside it a rate that halves where the batch would double.
    quarter = budget // 4
    doublings = {quarter // 16: 2.0, quarter * 3 // 32: 2.0, quarter * 7 // 64: 2.0}
    halvings = {quarter * k // 16: 0.5 for k in (1, 2, 3)}
    growing = gx.piecewise_constant_schedule(16.0, doublings)
    falling = gx.piecewise_constant_schedule(0.2, halvings)
    sixteen = gx.constant_schedule(16.0)

    print(f"{budget} examples each\n")
    print("batch           rate            steps   train loss   test accuracy")
    for batch, rate, size, learning_rate in (
        ("16", "0.2", sixteen, 0.2),
        ("16", "0.2 to 0.025", sixteen, falling),
        ("16 to 128", "0.2", growing, 0.2),
    ):
        tx = gx.sgd(learning_rate, momentum=0.9)
        steps, loss, test = run(tx, size, budget, data)
        print(f"{batch:15s} {rate:14s} {steps:6d} {loss:12.4f} {test:15.3f}")
        assert np.isfinite(loss)


if __name__ == "__main__":
    main()
