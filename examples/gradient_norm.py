"""Watch the gradient norm: it shrinks towards a critical point, and leaps at a cliff."""

import argparse

import jax
import jax.numpy as jnp
from demo_parts.data import load
from demo_parts.networks import MLP, cross_entropy

import gradtx as gx


def descend(tx, loss, params, steps):
    """Return the loss and the norm of the gradient at every step."""

    def step(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        carry = tx.step(grads, state, params)
        # XLA computes this norm once: a clipping in the chain needs it too.
        return carry, (value, gx.tree.norm(grads))

    _, history = jax.jit(lambda carry: jax.lax.scan(step, carry, length=steps))(
        (params, tx.init(params))
    )
    return history


def critical_point(steps):
    """A small network on all data at once: the norm follows the loss down."""
    train = load().train
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.sgd(0.5, momentum=0.9))
    losses, norms = descend(
        tx,
        lambda params: cross_entropy(MLP.apply(params, train.images), train.labels),
        MLP.init(jax.random.key(0)),
        steps,
    )
    print("  step     loss   gradient norm")
    for t in sorted({0, *range(9, steps, max(1, steps // 12)), steps - 1}):
        bar = "#" * max(1, round(12 * float(jnp.log10(norms[t] / norms.min() + 1))))
        print(f"{t + 1:6d} {losses[t]:8.4f} {norms[t]:12.5f}   {bar}")
    assert norms[-1] < norms[0]


def cliff(steps):
    """A weight that acts 50 times, as in a recurrent network: flat below 1, a cliff above."""

    def loss(w):
        return (w**50 - 0.5) ** 2

    print("\nA cliff: J(w) = (w^50 - 1/2)^2 from w = 1.1\n")
    print("                    first gradient   first step   loss at the end")
    w = jnp.array(1.1)
    for name, tx in {
        "gradient descent": gx.sgd(1e-3),
        "clipped to norm 1": gx.chain(gx.clip_by_global_norm(1.0), gx.sgd(1e-3)),
    }.items():
        first, _ = tx.update(jax.grad(loss)(w), tx.init(w), w)
        losses, norms = descend(tx, loss, w, steps)
        print(f"{name:20s} {norms[0]:13.3g} {first:12.3g} {losses[-1]:17.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    critical_point(20 if quick else 400)
    cliff(20 if quick else 200)


if __name__ == "__main__":
    main()
