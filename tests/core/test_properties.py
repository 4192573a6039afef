"""Laws that hold for every tree and every transformation."""

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

import gradtx as gx

SHAPES = st.sampled_from([(), (1,), (3,), (2, 3), (0, 2), (1, 2, 1)])
DTYPES = st.sampled_from(["float32", "bfloat16", "float16", "complex64"])


@st.composite
def arrays(draw):
    """Draw an array of one of few shapes, so that the examples share their traces."""
    shape = draw(SHAPES)
    elements = st.floats(-8, 8, width=16)
    return jnp.asarray(draw(hnp.arrays(np.float32, shape, elements=elements))).astype(draw(DTYPES))


LEAVES = arrays() | st.none()
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=6,
).filter(lambda tree: tree is not None)

PARTS = st.sampled_from(
    [
        gx.scale(0.5),
        gx.trace(0.9),
        gx.clip_by_global_norm(1.0),
        gx.scale_by_adam(),
        gx.add_decayed_weights(0.1),
        gx.chain(gx.scale(2.0), gx.ema(0.5)),
        gx.parallel(gx.scale(2.0), gx.trace(0.5), merge=gx.add),
        gx.stateless_with_tree_map(gx.add),
    ]
)


def two_steps(tx, tree):
    """Return updates and state after two steps on a tree."""
    state = tx.init(tree)
    _, state = tx.update(tree, state, tree)
    return tx.update(tree, state, tree)


@hypothesis.given(PARTS, PARTS, PARTS, TREES)
def test_chain_is_associative(a, b, c, tree):
    flat, _ = two_steps(gx.chain(a, b, c), tree)
    for nested in (gx.chain(a, gx.chain(b, c)), gx.chain(gx.chain(a, b), c)):
        chex.assert_trees_all_equal(two_steps(nested, tree)[0], flat)


@hypothesis.given(PARTS, TREES)
def test_identity_is_neutral(part, tree):
    want, _ = two_steps(gx.chain(part), tree)
    got, _ = two_steps(gx.chain(gx.identity(), part, gx.chain()), tree)
    chex.assert_trees_all_equal(got, want)


@hypothesis.given(PARTS, TREES)
def test_updates_look_like_the_gradients(part, tree):
    updates, state = two_steps(part, tree)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, tree)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, part.init(tree))


@hypothesis.given(TREES, st.floats(0.125, 8, width=16))
def test_global_norm_is_bounded(tree, max_norm):
    clipped, _ = gx.clip_by_global_norm(max_norm).update(tree, gx.EmptyState())
    leaves = [np.asarray(x).astype(complex) for x in jax.tree.leaves(clipped)]
    norm = np.sqrt(sum(np.sum(np.abs(x) ** 2) for x in leaves))
    assert norm <= max_norm * 1.01


@hypothesis.given(TREES)
def test_zero_updates_change_nothing(tree):
    zeros = jax.tree.map(jnp.zeros_like, tree)
    chex.assert_trees_all_equal(gx.apply_updates(tree, zeros), tree)


@hypothesis.given(PARTS, PARTS)
def test_config_round_trip(a, b):
    tx = gx.chain(a, gx.named_chain(("b", b)))
    assert gx.from_config(tx.to_config()) == tx
    assert hash(gx.from_config(tx.to_config())) == hash(tx)
