"""Write a rule in 15 lines: sign descent with a momentum that is damped where signs disagree."""

import argparse
from typing import NamedTuple

import jax
import jax.numpy as jnp

import gradtx as gx
from gradtx.testing import check_transformation
from gradtx.typing import Decay, PerParam

# --- the 15 lines: a formula for one array, and a constructor --------------------------------


class ScaleByAgreementState(NamedTuple):
    """The momentum."""

    mu: PerParam  # inside the rule one array, outside a tree like the params


def agree(g, state, p, h):
    mu = h.b * state.mu + h.one_minus_b * g
    u = jnp.where(g * mu > 0, jnp.sign(mu), 0.5 * jnp.sign(mu))
    return u, state._replace(mu=mu)


@gx.transformation
def scale_by_agreement(b: Decay = 0.9) -> gx.GradientTransformation:
    """Step along the sign of the momentum, half as far where the gradient disagrees."""
    return gx.lift(gx.Rule(agree, state=ScaleByAgreementState), b=gx.as_decay(b))


# ----------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    steps = 20 if parser.parse_args().quick else 300

    # It fuses with its neighbours, prints, pickles, checks its argument, and works in bfloat16.
    tx = gx.chain(
        gx.clip_by_global_norm(1.0),
        scale_by_agreement(0.8),
        gx.scale_by_learning_rate(gx.linear_schedule(0.1, 0.0, steps)),
    )
    print(tx)
    try:
        scale_by_agreement(beta=0.8)
    except TypeError as error:
        print(f"\n{error}")

    params = {"w": jnp.full(3, 2.0, jnp.bfloat16), "b": jnp.zeros(2)}
    state = tx.init(params)

    @jax.jit
    def train_step(params, state):
        grads = jax.grad(lambda p: jnp.sum((p["w"] - 1.0) ** 2) + jnp.sum((p["b"] - 0.5) ** 2))(
            params
        )
        return tx.step(grads, state, params)

    for _ in range(steps):
        params, state = train_step(params, state)
    print(f"\nafter {steps} steps: {params}")

    if steps >= 100:
        # The contract of every transformation: jit, scan, vmap, donation, dtypes, odd trees ...
        check_transformation(scale_by_agreement(0.8))
        print("the contract holds")


if __name__ == "__main__":
    main()
