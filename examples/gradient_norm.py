"""Watch the gradient norm: it shrinks towards a critical point, and leaps at a cliff."""

import argparse

import jax
import jax.numpy as jnp
from demo_parts.data import load
from demo_parts.networks import MLP, cross_entropy

import gradtx as gx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    steps = 20 if parser.parse_args().quick else 400
    train = load().train

    def loss(params):
        return cross_entropy(MLP.apply(params, train.images), train.labels)

    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.sgd(0.5, momentum=0.9))

    def step(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        carry = tx.step(grads, state, params)
        # XLA computes this norm once: the clipping in the chain needs it too.
        return carry, (value, gx.tree.norm(grads))

    params = MLP.init(jax.random.key(0))
    _, (losses, norms) = jax.jit(
        lambda carry: jax.lax.scan(step, carry, length=steps)
    )((params, tx.init(params)))

    print("  step     loss   gradient norm")
    for t in sorted({0, *range(9, steps, max(1, steps // 12)), steps - 1}):
        bar = "#" * max(1, round(12 * float(jnp.log10(norms[t] / norms.min() + 1))))
        print(f"{t + 1:6d} {losses[t]:8.4f} {norms[t]:12.5f}   {bar}")
    assert norms[-1] < norms[0]


if __name__ == "__main__":
    main()
