"""Compose your own Adam from parts, and see that it is Adam."""

import argparse

import jax
import jax.numpy as jnp

import gradtx as gx


def adam_from_parts(learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """Momentum over RMS: two branches of the same gradient, divided array by array."""
    momentum = gx.ema(b1, debias=True)
    rms = gx.root_mean_square(b2, eps=eps, debias=True)
    return gx.chain(
        gx.parallel(momentum, rms, merge=gx.divide),
        gx.scale_by_learning_rate(learning_rate),
    )


def descend(tx, loss, w, steps):
    def step(carry, _):
        w, state = carry
        return tx.step(jax.grad(loss)(w), state, w), None

    (w, _), _ = jax.lax.scan(step, (w, tx.init(w)), length=steps)
    return w


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    steps = 20 if parser.parse_args().quick else 2000

    def rosenbrock(w):
        return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2

    start = jnp.array([-1.2, 1.0])
    mine, named = adam_from_parts(0.02), gx.adam(0.02)
    print(mine)
    print("\nis, part by part,\n")
    print(named)

    ours, theirs = (descend(tx, rosenbrock, start, steps) for tx in (mine, named))
    print(f"\nafter {steps} steps: {ours} from parts, {theirs} by name")
    assert jnp.allclose(ours, theirs, atol=1e-4)

    # Another cell of the grid, which has no name: heavy ball over the running maximum.
    odd = gx.chain(
        gx.clip_by_global_norm(10.0),
        gx.parallel(gx.trace(0.5), gx.root_max_mean_square(0.99, eps=1e-6), merge=gx.divide),
        gx.scale_by_learning_rate(gx.cosine_decay_schedule(0.02, steps)),
    )
    print(f"\nheavy ball over the running maximum: {descend(odd, rosenbrock, start, steps)}")


if __name__ == "__main__":
    main()
