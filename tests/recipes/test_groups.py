"""Groups of parameters, as the threads of users tell their problems with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

MODEL = {
    "embed": jnp.ones((20, 8)),
    "blocks": [
        {"attention": {"kernel": jnp.ones((8, 8)), "bias": jnp.ones(8)}, "norm": jnp.ones(8)}
        for _ in range(3)
    ],
    "lora": {"a": jnp.ones((8, 2)), "b": jnp.ones((2, 8))},
    "activation": jnp.tanh,
    "unused": None,
}


def gradients_of(model, value=1.0):
    """Return gradients of one value, None for what cannot be trained."""

    def of(leaf):
        return jnp.full_like(leaf, value) if hasattr(leaf, "dtype") else None

    return jax.tree.map(of, model)


def sizes(state):
    """Return how many bytes a state has in arrays with axes."""
    return sum(x.nbytes for x in jax.tree.leaves(state) if x.ndim)


def test_groups_by_path_without_sentinels():
    """optax#271, #159, #160, #913, #1007, #1148; equinox#771, #794; flax#5372; optax#1649.

    No node of a class of its own stands in the state, callable and None leaves do no harm,
    nothing passes through untouched, and groups nest.
    """
    inner = gx.groups(("*/norm", gx.sgd(0.1)), ("*", gx.adamw(0.1)))
    tx = gx.groups(
        ("embed", gx.adam(0.1)),
        ("blocks/*", inner),
        ("rest", "*", gx.trainable(gx.sgd(1.0), "lora/a")),
    )
    state = tx.init(MODEL)
    kinds = {type(x) for x in jax.tree.leaves(state)}
    assert all(issubclass(kind, jax.Array) for kind in kinds)
    mu = state["embed"][0].mu
    assert mu["embed"].shape == (20, 8)
    assert mu["blocks"][0] == {"attention": {"kernel": None, "bias": None}, "norm": None}
    params, state = tx.step(gradients_of(MODEL), state, MODEL)
    np.testing.assert_array_equal(params["lora"]["a"], 0.0)
    assert params["lora"]["b"] is MODEL["lora"]["b"]
    np.testing.assert_allclose(params["blocks"][2]["norm"], 0.9, rtol=1e-6)
    assert params["activation"] is jnp.tanh


def test_a_rule_that_no_parameter_uses_is_no_silent_rule():
    """optax#271, #160, flax#5372: a typing error in a label or mask is answered with the paths."""
    tx = gx.groups(("*/bais", gx.sgd(0.1)), ("*", gx.adamw(0.1)))
    with pytest.raises(ValueError, match=r"matches no path\. .*'blocks/\*/attention/bias' \(3\)"):
        tx.init(MODEL)
    missing = gx.groups(("blocks/*", gx.sgd(0.1)))
    with pytest.raises(ValueError, match="no rule matches 'embed', 'lora/a', 'lora/b'"):
        missing.init(MODEL)


def test_weight_decay_without_norms_biases_and_embeddings_is_one_argument():
    """equinox#771: which parameters to decay, by name and by shape."""
    tx = gx.adamw(0.0, weight_decay=0.5, mask=gx.excluding(gx.norms_biases_embeddings))
    rows, legend = tx.explain(MODEL).split("\n\n")[:2]
    (mark,) = (line.split()[0] for line in legend.splitlines() if "add_decayed_weights" in line)
    assert [line.split()[0] for line in rows.splitlines() if line.endswith(mark)] == [
        "blocks/*/attention/kernel",
        "lora/a",
        "lora/b",
    ]


def test_a_step_size_for_each_parameter():
    """jax#3296: a tree of step sizes; here by path, as multipliers."""
    multipliers = gx.scale_by_path(("blocks/*/norm", 0.1), ("lora/*", 16.0))
    tx = gx.chain(gx.sgd(1.0), multipliers)
    updates, _ = tx.update(gradients_of(MODEL), tx.init(MODEL), MODEL)
    np.testing.assert_allclose(updates["blocks"][1]["norm"], -0.1, rtol=1e-6)
    np.testing.assert_array_equal(updates["lora"]["b"], -16.0)
    np.testing.assert_array_equal(updates["embed"], -1.0)


def test_one_norm_for_all_groups():
    """huggingface/transformers#614, marin#6160, megatron#5431.

    A gradient (3, 4) of norm 5, whose parts have groups of their own, is cut to norm 1 as a whole;
    inside `multi_transform` of Optax it comes out as (1, 1).
    """
    params = gradients = {"a": jnp.array(3.0), "b": jnp.array(4.0)}
    clip = gx.clip_by_global_norm(1.0)
    together = gx.groups(("a", clip), ("b", clip))
    updates, _ = together.update(gradients, together.init(params), params)
    np.testing.assert_allclose([updates["a"], updates["b"]], [0.6, 0.8], rtol=1e-6)
    apart = gx.groups(("a", gx.clip_by_global_norm(1.0, scope="group")), ("b", clip))
    updates, _ = apart.update(gradients, apart.init(params), params)
    np.testing.assert_allclose([updates["a"], updates["b"]], [1.0, 0.8], rtol=1e-6)
    too_late = gx.groups(("a", gx.chain(gx.scale(2.0), clip)), ("b", clip))
    with pytest.raises(ValueError, match="it must come first there"):
        too_late.update(gradients, too_late.init(params), params)


def test_frozen_parameters_cost_nothing():
    """optax#290, #296, #1274, big_vision#14, DeepSpeed#2615: one line, no state, no copy."""
    tx = gx.trainable(gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1)), "lora/*")
    model = {k: v for k, v in MODEL.items() if k != "activation"}
    state = tx.init(model)
    assert sizes(state) == 2 * sizes(model["lora"])
    model = jax.tree.map(jnp.copy, model)
    buffer = model["embed"].unsafe_buffer_pointer()
    step = jax.jit(tx.step, donate_argnums=(1, 2))
    params, _ = step(gradients_of(model), state, model)
    assert params["embed"].unsafe_buffer_pointer() == buffer
    np.testing.assert_array_equal(params["embed"], 1.0)
    assert not np.any(params["lora"]["a"] == 1.0)
    # The norm is that of what is trained: sqrt(32), not that of the whole model.
    clip = gx.trainable(gx.clip_by_global_norm(1.0), "lora/*")
    updates, _ = clip.update(gradients_of(params), clip.init(params), params)
    np.testing.assert_allclose(updates["lora"]["a"], 1 / np.sqrt(32), rtol=1e-6)
    np.testing.assert_array_equal(updates["embed"], 0.0)


def test_who_is_transformed_by_what_can_be_read():
    """optax#1, #197; jax#3296: no guessing which parameter a mask reached."""
    tx = gx.groups(("embed", None), ("*/norm|*/bias", gx.sgd(0.1)), ("*", gx.adamw(1e-3)))
    shapes = jax.eval_shape(lambda: {k: v for k, v in MODEL.items() if k != "activation"})
    lines = [line.split() for line in tx.explain(shapes).splitlines()]
    assert ["embed", "[20,", "8]", "float32", "embed", "0", "B", "frozen"] in lines
    assert lines[-1] == ["all", "12", "432", "1.754", "KiB"]
