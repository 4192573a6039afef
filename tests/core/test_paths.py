"""Patterns: what they match, on which trees, and what is said about a misspelt one."""

import dataclasses
import json
import pickle
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx._core.paths import collapsed, listed, matches, paths_of


class Pair(NamedTuple):
    """A container with names."""

    left: Any
    right: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Dense:
    """A layer that is a dataclass."""

    kernel: Any
    bias: Any


@jax.tree_util.register_pytree_with_keys_class
class Module:
    """A callable layer with data that is not trained, as Equinox has them."""

    def __init__(self, weight, activation):
        self.weight, self.activation = weight, activation

    def __call__(self, x):
        return self.activation(x @ self.weight)

    def tree_flatten_with_keys(self):
        key = jax.tree_util.GetAttrKey
        children = ((key("weight"), self.weight), (key("activation"), self.activation))
        return children, None

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(*children)


PARAMS = {
    "embed": jnp.ones((5, 2)),
    "blocks": [{"norm": {"scale": jnp.ones(2)}, "w": jnp.ones((2, 2))} for _ in range(12)],
    "pair": Pair(jnp.ones(2), None),
    "dense": Dense(jnp.ones((2, 2)), jnp.ones(2)),
    "module": Module(jnp.ones((2, 2)), jnp.tanh),
    "steps": jnp.array(3),
}


def marked(mask):
    """Return the paths at which a mask is True."""
    rows = zip(paths_of(mask), jax.tree.leaves(mask, is_leaf=lambda x: x is None), strict=True)
    return [path for path, on in rows if on]


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("embed", "embed", True),
        ("embed", "embed/table", False),
        ("embed/*", "embed/a/b", True),
        ("*/bias", "bias", True),
        ("*/bias", "a/b/bias", True),
        ("*/bias", "a/mybias", False),
        ("*bias", "a/mybias", True),
        ("blocks/*/w", "blocks/w", False),
        ("blocks/*/w", "blocks/0/attn/w", True),
        ("blocks/?/w", "blocks/10/w", False),
        ("blocks/[01]/w", "blocks/1/w", True),
        ("blocks/[!01]/w", "blocks/1/w", False),
        ("*/norm/*|*/bias", "norm/scale", True),
        ("**/w", "a/b/w", True),
        ("a.b", "axb", False),
        ("W", "w", False),
        ("*", "", True),
        (re.compile("norm"), "a/layernorm/scale", True),
        (re.compile(r"\d$"), "a/b", False),
        (("a", re.compile("^b")), "bc", True),
        (("a", "b"), "c", False),
        ((), "c", None),
    ],
)
def test_what_a_pattern_matches(pattern, path, expected):
    if expected is None:
        with pytest.raises(TypeError, match="a pattern must be a string"):
            gx.matching(pattern)
    else:
        assert matches(pattern, path, None) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("blocks/3/*", ["blocks/3/norm/scale", "blocks/3/w"]),
        ("pair/*", ["pair/left"]),
        ("dense/bias", ["dense/bias"]),
        ("module/*", ["module/weight"]),
        (lambda path, leaf: leaf.shape == (5, 2), ["embed"]),
        (("embed", re.compile("^dense/k")), ["dense/kernel", "embed"]),
    ],
)
def test_masks_of_every_kind_of_tree(pattern, expected):
    mask = gx.matching(pattern)(PARAMS)
    assert marked(mask) == expected
    rest = gx.excluding(pattern)(PARAMS)
    assert not set(marked(rest)) & set(expected)
    trained = [p for p in paths_of(PARAMS) if p not in ("pair/right", "module/activation", "steps")]
    assert len(marked(rest)) == len(trained) - len(expected)


def test_a_mask_serves_where_masks_are_taken():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    tx = gx.add_decayed_weights(0.5, mask=gx.excluding("*/bias"))
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(zeros, tx.init(params), params)
    np.testing.assert_array_equal(updates["kernel"], 0.5)
    np.testing.assert_array_equal(updates["bias"], 0.0)


def test_inside_of_groups_a_mask_may_match_leaves_elsewhere():
    params = {"a": {"kernel": jnp.ones(2)}, "b": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}
    decayed = gx.adamw(0.1, weight_decay=0.5, mask=gx.excluding("*/bias"))
    tx = gx.groups(("a/*", decayed), ("b/*", decayed))
    tx.step(params, tx.init(params), params)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("*/scael", r"matches no path. Did you mean '\*/scale'\? The paths are 'blocks/\*/norm/"),
        ("scale", r"Did you mean '\*/scale'\?"),
        ("dense", r"Did you mean 'dense/\*'\?"),
        ("Dense/Bias", "Did you mean 'dense/bias'"),
        ("blocks/*/norm", r"Did you mean 'blocks/\*/norm/\*'\?"),
        ("embed|*/baes", r"the pattern '\*/baes', a part of 'embed\|\*/baes', matches no path"),
        (("embed", "zzz"), r"the pattern 'zzz', a part of \('embed', 'zzz',\), matches no path"),
        (re.compile("kernell"), r"the pattern re.compile\('kernell'\) matches no.* 'kernel'"),
        ("zzz", r"the pattern 'zzz' matches no path. The paths are"),
    ],
)
def test_a_misspelt_pattern_raises_with_what_it_resembles(pattern, message):
    with pytest.raises(ValueError, match=message):
        gx.matching(pattern)(PARAMS)


def test_paths_in_messages_are_shortened():
    paths = [f"block_{i}/w" for i in range(40)] + [f"layer/{chr(97 + i)}" for i in range(26)]
    text = listed([*paths, "head/0"])
    assert text.startswith("'block_*/w' (40), 'layer/a'")
    assert text.endswith("and 4 more")
    assert collapsed(["a/0", "a/1", "b/2"]) == {"a/*": ["a/0", "a/1"], "b/2": ["b/2"]}


def test_what_is_no_pattern_and_what_is_no_answer():
    for wrong in (3, None, [r"*/bias"], re.compile(b"a"), ("a", 3)):
        with pytest.raises(TypeError, match=r"a pattern must be a string such as"):
            gx.excluding(wrong)
    mask = gx.matching(lambda path, leaf: jnp.sum(leaf) > 0)
    with pytest.raises(TypeError, match="must go by paths, shapes and dtypes alone"):
        jax.jit(lambda p: mask({"a": p}))(jnp.ones(2))
    with pytest.raises(TypeError, match="must return True or False, but returned int 1 at 'a'"):
        gx.matching(lambda path, leaf: 1)({"a": jnp.ones(2)})


@gx.register
def big(path, leaf):
    """Return whether a leaf has many entries."""
    return leaf.size > 100


@pytest.mark.parametrize("pattern", ["*/bias", re.compile("a|b", re.IGNORECASE), big, ("x", big)])
def test_masks_are_values(pattern):
    mask = gx.matching(pattern)
    assert mask == gx.matching(pattern)
    assert mask != gx.excluding(pattern)
    assert hash(mask) == hash(gx.matching(pattern))
    assert pickle.loads(pickle.dumps(mask)) == mask
    tx = gx.adamw(1e-3, mask=mask)
    assert gx.from_config(json.loads(json.dumps(gx.to_config(tx)))) == tx
    assert gx.matching(re.compile("a")) != gx.matching(re.compile("a", re.IGNORECASE))


@pytest.mark.parametrize(
    ("path", "shape", "expected"),
    [
        ("dense/kernel", (3, 3), False),
        ("dense/anything", (3,), True),
        ("temperature", (), True),
        ("layers/bias", (12, 3), True),
        ("layers/attention_bias", (12, 3), True),
        ("layers/LayerNorm_0/weight", (12, 3), True),
        ("layers/rmsnorm/weight", (12, 3), True),
        ("layers/norm1/weight", (12, 3), True),
        ("lnScale", (12, 3), True),
        ("token_embedding/table", (9, 3), True),
        ("pos_embed", (9, 3), True),
        ("upscale/kernel", (3, 3), False),
        ("normal/kernel", (3, 3), False),
        ("conv/kernel", (3, 3, 8, 8), False),
    ],
)
def test_what_weight_decay_spares(path, shape, expected):
    leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
    assert gx.norms_biases_embeddings(path, leaf) is expected


def test_classes_in_globs_are_those_of_globs():
    tree = {"a": jnp.ones(1), "b": jnp.ones(1), "^": jnp.ones(1)}
    assert gx.matching("[^a]")(tree) == {"^": True, "a": True, "b": False}
    assert gx.matching("[!a]")(tree) == {"^": True, "a": False, "b": True}
    with pytest.raises(ValueError, match=r"'\[z-a\]' is no glob: bad character range"):
        gx.matching("[z-a]")
