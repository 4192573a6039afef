"""What metrics cost: reads of the tree, and nothing for what was not asked for."""

import jax
import jax.numpy as jnp
import pytest

import gradtx as gx

PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.ones(1)}
GRADS = PARAMS


def test_nothing_is_computed_that_was_not_asked_for():
    bare = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))
    tx = gx.with_metrics(bare, "learning_rate", "clip_scale")

    def cost(tx):
        lowered = jax.jit(tx.update).lower(GRADS, tx.init(PARAMS), PARAMS)
        return lowered.compile().cost_analysis()["flops"]

    assert cost(tx) - cost(bare) <= 4


TREE = {f"w{i}": jnp.zeros((256, 512)) for i in range(3)}
READS = {"grad_norm": 1, "nonfinite_leaves": 1, "param_norm": 1, "update_norm": 4}


@pytest.mark.parametrize("call", ["update", "step"])
@pytest.mark.parametrize("name", READS)
def test_what_a_number_costs(name, call):
    """A read of a tree for each array that it is made of, and no temporaries: see `meter`."""

    def compiled(tx):
        def step(params, state, grads):
            if call == "step":
                return tx.step(grads, state, params)
            updates, state = tx.update(grads, state, params)
            return gx.apply_updates(params, updates), state

        state = jax.eval_shape(tx.init, TREE)
        return jax.jit(step, donate_argnums=(0, 1)).lower(TREE, state, TREE).compile()

    one = 4 * sum(p.size for p in TREE.values())
    bare, measured = compiled(gx.adamw(0.1)), compiled(gx.with_metrics(gx.adamw(0.1), name))
    reads = [c.cost_analysis()["bytes accessed"] / one for c in (bare, measured)]
    assert reads[1] - reads[0] < READS[name] + (0.6 if name == "update_norm" else 0.05)
    assert measured.memory_analysis().temp_size_in_bytes < 0.3 * one


@pytest.mark.slow
def test_the_norm_of_a_clip_is_taken_once():
    bare = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))

    def traffic(tx):
        state = jax.eval_shape(tx.init, TREE)
        step = jax.jit(tx.step, donate_argnums=(1, 2)).lower(TREE, state, TREE).compile()
        return step.cost_analysis()["bytes accessed"]

    one = 4 * sum(p.size for p in TREE.values())
    assert traffic(gx.with_metrics(bare, "grad_norm")) - traffic(bare) < 0.01 * one
