"""The table of what is applied to each parameter."""

import jax
import jax.numpy as jnp
import pytest

import gradtx as gx
from tests.cases import CASES

PARAMS = {
    "embed": jnp.ones((9, 4)),
    "blocks": [{"w": jnp.ones((64, 64)), "b": jnp.ones(64)} for _ in range(12)],
    "head": jnp.ones((4, 2)),
    "none": None,
    "step": jnp.array(3),
}


def test_groups():
    clip = gx.clip_by_global_norm(1.0)
    tx = gx.groups(
        ("embed", None),
        ("*/b", gx.sgd(0.1)),
        ("rest", "*", gx.chain(clip, gx.adamw(1e-3, mask=gx.excluding("head")))),
    )
    table = """\
path             shape     dtype    group  state   applied
blocks/*/b (12)  [64]      float32  */b    0 B     scale_by_learning_rate
blocks/*/w (12)  [64, 64]  float32  rest   32 KiB  (1)
embed            [9, 4]    float32  embed  0 B     frozen
head             [4, 2]    float32  rest   64 B    (2)
step                       int32                   not trained

(1) clip_by_global_norm, scale_by_adam, add_decayed_weights, scale_by_learning_rate
(2) clip_by_global_norm, scale_by_adam, scale_by_learning_rate

group  arrays  numbers  state
*/b    12      768      0 B
rest   13      49,160   384.1 KiB
embed  1       36       frozen
all    26      49,964   384.1 KiB"""
    assert tx.explain(PARAMS) == table
    assert tx.explain(jax.eval_shape(lambda: PARAMS)) == table


def test_without_groups_and_for_one_array():
    assert gx.adam(1e-3).explain(jnp.ones(3)) == (
        "path              shape  dtype    state  applied\n"
        "(the whole tree)  [3]    float32  24 B   scale_by_adam, scale_by_learning_rate\n"
        "\n"
        "group  arrays  numbers  state\n"
        "all    1       3        28 B"
    )
    assert "unchanged" in gx.identity().explain(jnp.ones(3))


def test_wrappers_branches_and_functions_from_elsewhere():
    pair = (lambda params: params, lambda updates, state, params=None: (updates, state))
    tx = gx.chain(
        gx.apply_if_finite(gx.chain(gx.scale(2.0), gx.trace(0.9)), 3),
        gx.parallel(gx.scale(1.0), gx.chain(gx.trace(0.9), gx.sgd(0.1)), merge=gx.add),
        pair,
        gx.masked(gx.scale(2.0), {"a": True, "b": False}),
    )
    lines = tx.explain({"a": jnp.ones(4), "b": jnp.ones(4)}).splitlines()
    assert lines[1:3] == [
        "a     [4]    float32  48 B   (1)",
        "b     [4]    float32  48 B   (2)",
    ]
    both = "apply_if_finite(scale, trace), parallel(scale | trace, scale_by_learning_rate), a pair"
    assert " ".join(" ".join(lines[4:8]).split()) == (
        f"(1) {both} of functions, scale (2) {both} of functions"
    )


def test_nested_groups_and_trainable():
    inner = gx.groups(("*/w", gx.adam(0.1)), ("*", None))
    tx = gx.groups(("blocks/*", inner), ("others", "*", gx.trainable(gx.adam(0.1), "head")))
    *_, head, frozen, arrays, others, rest, everything = tx.explain(PARAMS).splitlines()
    assert head.split() == ["group", "arrays", "numbers", "state"]
    assert frozen.split() == ["blocks/*/*", "12", "768", "frozen"]
    assert arrays.split() == ["blocks/*/*/w", "12", "49,152", "384", "KiB"]
    assert others.split() == ["others", "1", "36", "frozen"]
    assert rest.split() == ["others", "1", "8", "68", "B"]
    assert everything.startswith("all")


def test_a_leaf_treated_otherwise_has_a_line_of_its_own():
    lines = gx.trainable(gx.sgd(0.1), "blocks/1[01]/*|blocks/0/b").explain(PARAMS).splitlines()
    starts = [line.split("  ")[0] for line in lines[1:5]]
    assert starts == ["blocks/*/b (3)", "blocks/*/w (10)", "blocks/*/b (9)", "blocks/*/w (2)"]


def test_a_mistake_raises_as_in_init():
    with pytest.raises(ValueError, match="matches no path"):
        gx.trainable(gx.sgd(0.1), "heed").explain(PARAMS)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_constructor_can_be_explained(name):
    params = {"w": jax.ShapeDtypeStruct((4, 3), jnp.float32), "b": jnp.ones(4)}
    text = CASES[name].make().explain(params)
    assert "[4, 3]" in text
    assert text.splitlines()[-1].startswith("all")
