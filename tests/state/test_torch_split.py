"""One tensor of torch as several parameters here, several optimizers, axes that are one there."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import Split, from_torch, to_torch
from tests.state.as_torch import ADAM, adam_of

QKV = Split(["q/w", "k/w", "v/w"])
PARAMS = {"q": {"w": jnp.ones((4, 6))}, "k": {"w": jnp.ones((4, 2))}, "v": {"w": jnp.ones((4, 2))}}


FUSED = adam_of((10, 4))
CARRIED = {"names": ["qkv"], "paths": {"qkv": QKV}, "transpose": "*/w"}


def test_the_parts_go_where_the_sizes_say_and_come_back():
    tx = gx.adam(0.1)
    state, report = from_torch(tx, PARAMS, FUSED, **CARRIED)
    theirs = FUSED["state"][0]["exp_avg"]
    for name, rows in {"q": slice(0, 6), "k": slice(6, 8), "v": slice(8, 10)}.items():
        np.testing.assert_array_equal(state[0].mu[name]["w"], theirs[rows].T)
    assert report.renamed["scale_by_adam/mu/k/w"] == "qkv[6:8]/exp_avg"
    assert report.hints == ()
    empty = FUSED | {"state": {}}
    there, report = to_torch(tx, state, PARAMS, empty, tensor=np.array, **CARRIED)
    assert (report.missing, report.extra, report.hints) == ((), (), ())
    assert there["state"].keys() == {0}
    for key, x in FUSED["state"][0].items():
        np.testing.assert_array_equal(there["state"][0][key], x)


def test_another_axis():
    """GPT-2's first layers have their outputs last, as here."""
    params = {"q": jnp.ones((4, 3)), "v": jnp.ones((4, 2))}
    given = adam_of((4, 5))
    carried = {"names": ["c_attn"], "paths": lambda name: Split(["q", "v"], axis=1)}
    state, report = from_torch(gx.adam(0.1), params, given, **carried)
    np.testing.assert_array_equal(state[0].nu["v"], given["state"][0]["exp_avg_sq"][:, 3:])
    assert report.renamed["scale_by_adam/mu/v"] == "c_attn[:, 3:5]/exp_avg"
    there, _ = to_torch(gx.adam(0.1), state, params, given, tensor=np.array, **carried)
    np.testing.assert_array_equal(there["state"][0]["exp_avg"], given["state"][0]["exp_avg"])


def test_sizes_and_shapes_are_exact():
    tx = gx.adam(0.1)
    two = CARRIED | {"paths": {"qkv": Split(["q/w", "k/w"])}}
    with pytest.raises(ValueError, match=r"'qkv' has shape \(10, 4\), but .* 6 \+ 2 = 8 on its a"):
        from_torch(tx, {k: PARAMS[k] for k in "qk"}, FUSED, **two)
    with pytest.raises(ValueError, match=r"same shape but on its axis 0; .* q/w \(4, 6\), k/w \(4"):
        from_torch(tx, PARAMS, FUSED, **CARRIED | {"transpose": None})
    with pytest.raises(ValueError, match=r"along axis 2, which must be one of the 2"):
        from_torch(tx, PARAMS, FUSED, **CARRIED | {"paths": {"qkv": Split(QKV.paths, axis=2)}})
    with pytest.raises(ValueError, match=r"k/w \(qkv\[6:8\]/exp_avg\) must have .*\(4, 2\), but"):
        from_torch(tx, PARAMS, adam_of((10, 7)), **CARRIED)
    with pytest.raises(ValueError, match=r"'qkv' would be 'u/w', but there is no such parameter"):
        from_torch(tx, PARAMS, FUSED, **CARRIED | {"paths": {"qkv": Split(["u/w", "k/w"])}})
    both = {"names": ["a", "qkv"], "paths": {"a": "q/w", "qkv": QKV}}
    with pytest.raises(ValueError, match=r"'a' and 'qkv' of torch are both 'q/w'"):
        from_torch(tx, PARAMS, adam_of((6, 4), (10, 4)), **both)
    with pytest.raises(TypeError, match=r"must have a path, a Split of several or None for 'qkv'"):
        from_torch(tx, PARAMS, FUSED, names=["qkv"], paths={"qkv": ("q/w", "k/w")})
    with pytest.raises(TypeError, match="must be a list of paths, but is 'q/w'"):
        Split("q/w")
    with pytest.raises(ValueError, match="must be different paths"):
        Split(["q/w", "q/w"])


def test_parts_that_are_frozen_here():
    tx = gx.trainable(gx.adam(0.1), "q/*")
    with pytest.raises(ValueError, match=r"no place: qkv\[\*:\*\]/exp_avg"):
        from_torch(tx, PARAMS, FUSED, **CARRIED)
    state, report = from_torch(tx, PARAMS, FUSED, extra="drop", **CARRIED)
    assert len(report.extra) == 4
    with pytest.raises(ValueError, match=r"4 arrays are not there: qkv\[\*:\*\]/exp_avg"):
        to_torch(tx, state, PARAMS, FUSED, tensor=np.array, **CARRIED)
    there, _ = to_torch(
        tx, state, PARAMS, FUSED, tensor=np.array, missing="init", extra="drop", **CARRIED
    )
    assert there["state"] == {}


def test_means_over_a_whole_tensor_cannot_be_split():
    given = {"state": {}, "param_groups": [{"beta2_decay": -0.8, "params": [0]}]}
    with pytest.raises(ValueError, match=r"'qkv' cannot be split: Adafactor keeps means over its"):
        from_torch(gx.adafactor(0.1), PARAMS, given, **CARRIED)


def test_axes_that_are_one_in_torch():
    """Kernels of Flax have heads and their features as axes of their own."""
    params = {"q": jnp.ones((5, 2, 3)), "b": jnp.ones((2, 3)), "out": jnp.ones((2, 3, 5))}
    given = adam_of((6, 5), (6,), (5, 6))
    axes = {"q": (1, 0, 0), "b": (0, 0), "out": (1, 1, 0)}
    carried = {"names": ["q", "b", "out"], "transpose": axes}
    state, _ = from_torch(gx.adam(0.1), params, given, **carried)
    q, b, out = (given["state"][i]["exp_avg"] for i in range(3))
    np.testing.assert_array_equal(state[0].mu["q"][:, 1, 2], q[5])
    np.testing.assert_array_equal(state[0].mu["b"][1], b[3:])
    np.testing.assert_array_equal(state[0].mu["out"][1, 0], out[:, 3])
    there, _ = to_torch(gx.adam(0.1), state, params, given, tensor=np.array, **carried)
    for i, kept in given["state"].items():
        np.testing.assert_array_equal(there["state"][i]["exp_avg"], kept["exp_avg"])
    with pytest.raises(ValueError, match=r"q has 3 axes, but `transpose` gives it \(0, 1, 0\)"):
        from_torch(gx.adam(0.1), params, given, **carried | {"transpose": {"q": (0, 1, 0)}})
    with pytest.raises(ValueError, match=r"mu/q .* must have shape \(5, 2, 3\), but has \(5, 7\)"):
        from_torch(gx.adam(0.1), params, adam_of((7, 5), (6,), (5, 6)), **carried)


def test_several_optimizers():
    """Each has parameters with the numbers 0, 1, ...; names say which are meant."""
    params = {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.ones(4)}
    first, second = adam_of((3,), step=5), adam_of((2,), (4,), step=5, group=ADAM | {"lr": 0.2})
    names = [["b"], ["a", "c"]]
    tx = gx.groups(("b", "b", gx.adam(0.1)), ("rest", "*", gx.adam(0.2)))
    state, report = from_torch(tx, params, [first, second], names=names)
    assert report.hints == ()
    assert report.renamed["rest/scale_by_adam/mu/c"] == "c/exp_avg"
    there, _ = to_torch(tx, state, params, [first, second], names=names, tensor=np.array)
    assert [list(one["state"]) for one in there] == [[0], [0, 1]]
    np.testing.assert_array_equal(there[1]["state"][1]["exp_avg"], second["state"][1]["exp_avg"])
    inside = [adam_of((3,), names=["b"]), adam_of((2,), (4,), names=["a", "c"])]
    from_torch(tx, params, inside)
    with pytest.raises(ValueError, match="must be as many lists of names, one for each, but"):
        from_torch(tx, params, [first, second], names=["b", "a", "c"])
    with pytest.raises(ValueError, match=r"of the 1 parameters of state_dict 0, but has 2 for it"):
        from_torch(tx, params, [first, second], names=names[::-1])
    with pytest.raises(ValueError, match="must have at least one state_dict"):
        from_torch(tx, params, [])
    with pytest.raises(TypeError, match='must have "state" and "param_groups"'):
        from_torch(tx, params, [first, second["state"]], names=names)
