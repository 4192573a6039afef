"""Leaves are told by their paths, whatever the containers are."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx._core import containers
from gradtx._core.paths import paths_of


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Box:
    value: Any
    unit: str = dataclasses.field(default="", metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Attention:
    key: Any
    value: Any


@jax.tree_util.register_pytree_node_class
class Hiding(Mapping):
    """A mapping that keeps its leaves in a row and tells JAX no keys."""

    def __init__(self, items):
        self.leaves, self.treedef = jax.tree.flatten(dict(items))

    def tree_flatten(self):
        return self.leaves, self.treedef

    @classmethod
    def tree_unflatten(cls, treedef, leaves):
        made = object.__new__(cls)
        made.leaves, made.treedef = jax.tree.leaves(list(leaves)), treedef
        return made

    def __getitem__(self, key):
        return jax.tree.unflatten(self.treedef, self.leaves)[key]

    def __iter__(self):
        return iter(jax.tree.unflatten(self.treedef, self.leaves))

    def __len__(self):
        return len(jax.tree.unflatten(self.treedef, self.leaves))


def slow(*values):
    """Return a slow case."""
    return pytest.param(*values, marks=pytest.mark.slow)


W, B = jnp.ones((3, 2)), jnp.zeros(2)
PLAIN = {"dense": {"w": W, "b": B}}


def test_a_box_has_the_path_of_what_is_in_it():
    tree = {"w": Box(W), "v": Attention(None, B), "empty": Box(None), "two": Box({"a": W, "b": B})}
    assert paths_of(tree) == ["empty", "two/value/a", "two/value/b", "v/key", "v/value", "w"]
    assert paths_of(Box(W)) == ["value"]  # the first key stays


def test_boxes_are_opened_and_come_back():
    tree = (Box(W), [Box(None), Attention(W, B)])
    opened = containers.opened(tree)
    assert opened[0] is W and opened[1][0] is None and isinstance(opened[1][1], Attention)
    doubled = jax.tree.map(lambda x: 2 * x, opened)
    again = containers.boxed_as(tree, doubled)
    assert jax.tree.structure(again) == jax.tree.structure(tree)


def test_a_mask_with_other_paths_is_refused():
    mask = {"dense": Box({"w": True, "b": False})}
    with pytest.raises(ValueError, match="structure of the parameters"):
        gx.masked(gx.adam(0.1), mask).init(PLAIN)


@pytest.mark.parametrize("kind", [collections.OrderedDict, Hiding])
def test_a_mask_in_containers_of_another_kind(kind):
    mask = kind({"dense": {"w": True, "b": False}})
    state = gx.masked(gx.adam(0.1), mask).init(PLAIN).inner_state
    assert state[0].mu["dense"]["b"] is None and state[0].mu["dense"]["w"].shape == (3, 2)


def test_a_prefix_of_labels_in_another_container():
    params = collections.OrderedDict(PLAIN, head=[W, B])
    tx = gx.partition({"a": gx.adam(0.1), "b": gx.sgd(0.1)}, {"dense": "a", "head": ("b", "b")})
    mu = tx.init(params).inner_states["a"].inner_state[0].mu
    assert mu["dense"]["w"] is not None and mu["head"] == [None, None]


KINDS = {"dict": dict, "OrderedDict": collections.OrderedDict, "Hiding": Hiding}
TRANSFORMATIONS = {
    "adam": gx.adam(0.1),
    "sm3": gx.sm3(0.1),  # several arrays for a leaf
    "masked": gx.masked(gx.adam(0.1), {"dense": {"w": True, "b": False}}),
    "partition": gx.partition(
        {"a": gx.adam(0.1), "b": gx.sgd(0.1, 0.9)}, {"dense": {"w": "a", "b": "b"}}
    ),
    "guarded": gx.apply_if_finite(gx.accumulate(gx.adam(0.1), 2), 3),
    "averaged": gx.with_ema(gx.sgd(0.1), 0.9),
    "stateless": gx.sgd(0.1),
}


@pytest.mark.parametrize("name", ["adam", *(slow(n) for n in TRANSFORMATIONS if n != "adam")])
@pytest.mark.parametrize("of_gradients", KINDS)
@pytest.mark.parametrize("of_state", KINDS)
def test_gradients_in_other_mappings_than_the_state(of_state, of_gradients, name):
    """The state stays in its own mappings, updates are in those of the gradients."""
    tx, gradients = TRANSFORMATIONS[name], KINDS[of_gradients](PLAIN)
    expected, first = tx.update(PLAIN, tx.init(PLAIN), PLAIN)
    new, _ = tx.step(PLAIN, first, PLAIN)
    start = tx.init(KINDS[of_state](PLAIN))
    for of_params in KINDS:
        params = KINDS[of_params](PLAIN)
        if name == "sm3" and of_params not in (of_state, of_gradients):
            continue
        updates, state = tx.update(gradients, start, params)
        assert jax.tree.structure(updates) == jax.tree.structure(gradients)
        assert jax.tree.structure(state) == jax.tree.structure(start)
        stepped, _ = tx.step(gradients, state, params)
        assert jax.tree.structure(stepped) == jax.tree.structure(params)
        applied = gx.apply_updates(params, updates)
        assert jax.tree.structure(applied) == jax.tree.structure(params)
        for key in ("w", "b"):
            np.testing.assert_array_equal(updates["dense"][key], expected["dense"][key])
            np.testing.assert_array_equal(stepped["dense"][key], new["dense"][key])


def test_without_parameters_the_state_tells_its_mappings():
    tx, seen = gx.trace(0.9), []

    def body(state, _):
        updates, state = tx.update(PLAIN, state)
        seen.append(type(updates))
        return state, None

    state, _ = jax.lax.scan(body, tx.init(collections.OrderedDict(PLAIN)), None, length=3)
    assert set(seen) == {dict} and type(state.trace) is collections.OrderedDict


class Pair(NamedTuple):
    w: Any
    b: Any


RATE = gx.linear_schedule(0.1, 0.01, 10)
OWN_STATES = {
    "partition": (gx.partition({k: gx.sgd(RATE) for k in "wb"}, Pair("w", "b")), Pair(W, B)),
    "groups": (gx.groups(("w", gx.sgd(RATE)), ("b", gx.sgd(RATE))), Pair(W, B)),
    "named_chain": (gx.named_chain(*((k, gx.scale_by_schedule(RATE)) for k in "01")), [W, B]),
    "of a chain": (gx.chain(gx.groups(("w", gx.sgd(RATE)), ("b", gx.sgd(RATE)))), Pair(W, B)),
}


@pytest.mark.parametrize(("tx", "params"), OWN_STATES.values(), ids=OWN_STATES)
def test_a_dict_of_states_is_no_tree_of_parameters(tx, params):
    state = tx.init(params)
    updates, after = tx.update(params, state, params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert [x.shape for x in jax.tree.leaves(updates)] == [W.shape, B.shape]


class OfOptaxState(NamedTuple):
    trace: Any


def same(updates, state, params=None):
    """Need the containers of the state, as every transformation of Optax does."""
    return jax.tree.map(lambda u, t: u, updates, state.trace), state


FOREIGN = (OfOptaxState, same)


@pytest.mark.parametrize("kind", [collections.OrderedDict, Hiding])
@pytest.mark.parametrize("part", [gx.trace(0.9), FOREIGN], ids=["trace", "foreign"])
def test_groups_named_as_parameters_hold_these_in_other_mappings(part, kind):
    tx, params = gx.groups(("w", part), ("b", part)), {"w": W, "b": B}
    for start, given in ((kind(params), params), (params, kind(params))):
        state = tx.init(start)
        for moved in (given, start, None):
            updates, after = tx.update(given, state, moved)
            assert jax.tree.structure(updates) == jax.tree.structure(given)
            assert jax.tree.structure(after) == jax.tree.structure(state)
            np.testing.assert_array_equal(updates["w"], W)


def test_other_containers_than_mappings_are_told_apart():
    tx = gx.adam(0.1)
    message = (
        r"but the updates have a tuple where the state field `mu` has a dict at \[1\]\['y'\]\."
    )
    with pytest.raises(ValueError, match=message):
        tx.update((W, {"y": (B,)}), tx.init((W, {"y": {0: B}})))
    inner = ({"x": (W, {"y": (B,)})}, {"x": (W, {"y": [B]})})
    path, *kinds = containers.first_kinds_apart(*inner)
    assert jax.tree_util.keystr(path) == "['x'][1]['y']" and kinds == [tuple, list]
    assert containers.first_kinds_apart(inner, inner) is None


@pytest.mark.parametrize("kind", [collections.OrderedDict, Hiding])
def test_a_pair_of_slow_and_fast_parameters_in_any_mappings(kind):
    tx = gx.lookahead(gx.adam(0.1), 2, 0.5)
    plain, other = (gx.LookaheadParams.init_synced(tree) for tree in (PLAIN, kind(PLAIN)))
    state, its_state = tx.init(plain), tx.init(other)
    for _ in range(2):
        updates, _ = tx.update(kind(PLAIN), its_state, other)
        assert jax.tree.structure(updates) == jax.tree.structure(other)
        plain, state = tx.step(PLAIN, state, plain)
        other, its_state = tx.step(kind(PLAIN), its_state, other)
    assert isinstance(other.fast, kind) and isinstance(other.slow, kind)
    for ours, theirs in zip(jax.tree.leaves(other), jax.tree.leaves(plain), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert jax.tree.structure(tx.eval_params(its_state, other)) == jax.tree.structure(other.slow)
    assert jax.tree.structure(tx.grad_params(its_state, other)) == jax.tree.structure(other.fast)
    of_pair, _ = tx.update(other, its_state, other)
    assert jax.tree.structure(of_pair) == jax.tree.structure(other)


def test_gradients_and_updates_in_containers_of_another_kind():
    tx = gx.adam(0.1)
    new, _ = tx.step([W, B], tx.init([W, B]), (W, B))
    assert isinstance(new, tuple)
    assert isinstance(gx.apply_updates((W, B), [W, B]), tuple)


@pytest.mark.parametrize("tx", [gx.adam(0.1), gx.sm3(0.1), gx.trainable(gx.adam(0.1), "dense/w")])
def test_a_mapping_that_hides_its_keys_is_read_as_a_dict(tx):
    params, state, hiding = PLAIN, tx.init(PLAIN), Hiding(PLAIN)
    its_state = tx.init(hiding)
    for _ in range(2):
        params, state = tx.step(params, state, params)
        updates, _ = tx.update(hiding, its_state, hiding)
        assert isinstance(updates, Hiding)
        hiding, its_state = tx.step(hiding, its_state, hiding)
    assert isinstance(hiding, Hiding) and isinstance(tx.eval_params(its_state, hiding), Hiding)
    jax.tree.map(np.testing.assert_array_equal, its_state, state)
    np.testing.assert_array_equal(hiding["dense"]["w"], params["dense"]["w"])
    assert tx.explain(hiding) == tx.explain(PLAIN)


def test_messages_name_the_leaves_of_a_mapping_that_hides_its_keys():
    with pytest.raises(ValueError, match=r"parameters have \['dense'\]\['b'\] \(and 1 more\)"):
        gx.apply_updates(Hiding(PLAIN), {"dense": {"v": W}})
