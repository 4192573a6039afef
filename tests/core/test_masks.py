"""Masks of several kinds together, and what is said of one that is none."""

import jax.numpy as jnp
import pytest

import gradtx as gx
from gradtx._core.masks import all_of

PARAMS = {name: jnp.ones(2) for name in "abc"}


def tripled(g, state, p, h):
    return 3 * g, state


def moved(mask):
    """Return the names of the parameters that a rule with this mask applies to."""
    tx = gx.lift(gx.Rule(tripled), where=mask)
    updates, _ = tx.update(PARAMS, tx.init(PARAMS))
    return "".join(name for name, u in updates.items() if u[0] == 3)


def test_all_of_masks_of_different_kinds():
    tree, function = {"a": True, "b": True, "c": False}, gx.excluding("a")
    assert moved(tree) == "ab"
    assert moved(function) == "bc"
    assert moved(all_of(tree, function)) == "b"
    assert moved(all_of(tree, all_of(function, True))) == "b"
    assert moved(all_of(tree, False)) == ""


def test_none_is_no_limit():
    assert all_of() is None
    assert all_of(None, None) is None
    assert moved(all_of(None, gx.matching("a"))) == "a"


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("a", r"but is 'a'\. A pattern of paths\? Give gradtx.matching\('a'\)"),
        ({"a": 2, "b": True, "c": True}, r"the mask at \['a'\] must be True or False, but is int"),
        ({"a": True}, r"the mask must be a tree of booleans with the structure of the parameters"),
    ],
)
def test_what_is_no_mask_is_named_in_company_too(mask, message):
    for given in (mask, all_of(True, mask)):
        with pytest.raises((TypeError, ValueError), match=message):
            moved(given)
