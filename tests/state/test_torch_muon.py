"""torch's Muon, from plain dicts of arrays: what is carried over, and what the report says."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import Split, from_torch, to_torch
from tests.state.as_torch import adam_of

MUON = {
    "lr": 0.02,
    "weight_decay": 0.0,
    "momentum": 0.95,
    "nesterov": True,
    "ns_coefficients": (3.4445, -4.775, 2.0315),
    "eps": 1e-7,
    "ns_steps": 5,
    "adjust_lr_fn": None,
}
PARAMS = {"w": jnp.ones((3, 6))}
CARRIED = {"names": ["w"], "transpose": "w", "counts": 10_000}


def muon_of(*shapes, **numbers):
    """Return what torch's Muon has of parameters of these shapes."""
    rng = np.random.default_rng(0)
    kept = {i: {"momentum_buffer": rng.normal(size=s)} for i, s in enumerate(shapes)}
    return {"state": kept, "param_groups": [MUON | numbers | {"params": list(kept)}]}


def hints(tx, given, params=PARAMS, **options):
    return from_torch(tx, params, given, **CARRIED | options)[1].hints


def test_there_and_back():
    tx, given = gx.muon(0.02), muon_of((6, 3))
    state, report = from_torch(tx, PARAMS, given, **CARRIED)
    assert report.hints == ()
    np.testing.assert_allclose(
        state["muon"][0].mu["w"], given["state"][0]["momentum_buffer"].T, rtol=1e-6
    )
    assert int(state["muon"][0].count) == 10_000
    there, report = to_torch(tx, state, PARAMS, given, tensor=np.array, names=["w"], transpose="w")
    assert (report.missing, report.extra, report.hints) == ((), (), ())
    np.testing.assert_array_equal(there["state"][0]["momentum_buffer"], state["muon"][0].mu["w"].T)
    with pytest.raises(ValueError, match=r"Give the number for .*scale_by_muon/count"):
        from_torch(tx, PARAMS, given, names=["w"], transpose="w")


def test_numbers_that_differ():
    given = muon_of((6, 3), weight_decay=0.1, momentum=0.9, nesterov=False)
    assert hints(gx.muon(0.01), given) == (
        "scale_by_muon's beta is 0.95, in torch 0.9.",
        "add_decayed_weights's weight_decay is 0, in torch 0.1.",
        "scale_by_learning_rate's step_size is 0.01, in torch 0.02.",
        "scale_by_muon has nesterov=True, in torch it is as False.",
    )
    rules = gx.scale_by_muon(), gx.scale_by_shape(), gx.scale_by_learning_rate(0.02)
    coupled = gx.chain(gx.add_decayed_weights(0.1), *rules)
    assert hints(coupled, muon_of((6, 3), weight_decay=0.1)) == (
        "weight decay acts behind the moments in torch, here it does not.",
    )
    several = gx.muon(0.02, "dion", preconditioning="aol", ns_steps=6)
    first, second = hints(several, muon_of((6, 3)))
    assert "ns_coeffs are [[4.0848" in first
    assert "preconditioning='aol'" in second
    (hint,) = hints(gx.muon(0.02, ns_steps=4), muon_of((6, 3)))
    assert hint == "scale_by_muon's ns_steps is 4, in torch 5."


def test_the_start_of_the_mean():
    """Unlike here, torch's mean is not corrected; with the heavy ball that is a factor alone."""
    (hint,) = hints(gx.muon(0.02), muon_of((6, 3)), counts=20)
    weight = (1 - 0.95**22) / (1 - 0.95**21)
    assert f"the newest gradient has {weight:.4f}" in hint
    assert not hints(gx.muon(0.02, nesterov=False), muon_of((6, 3), nesterov=False), counts=20)


def test_rows_and_columns_must_be_those_of_torch():
    """As the weights lie in torch, rows are outputs; the default here takes them for inputs."""
    params = {"w": jnp.ones((6, 3))}
    (hint,) = hints(gx.muon(0.02), muon_of((6, 3)), params, transpose=None)
    assert hint.startswith("w: the factor for its shape is 1, in torch, where it is (6, 3), 1.414.")
    turned = gx.muon(0.02, muon_weight_dimension_numbers=gx.MuonDimensionNumbers(1, 0))
    assert not hints(turned, muon_of((6, 3)), params, transpose=None)
    size = muon_of((6, 3), adjust_lr_fn="match_rms_adamw")
    assert "in torch, where it is (6, 3), 0.4899" in hints(gx.muon(0.02), size)[0]
    assert not hints(gx.muon(0.02, consistent_rms=0.2), size)
    bare = gx.chain(gx.scale_by_muon(), gx.scale_by_learning_rate(0.02))
    assert hints(bare, muon_of((6, 3)))[0].startswith("w: the factor for its shape is 1,")


def test_one_matrix_there_and_several_here():
    params = {"q": jnp.ones((3, 2, 4)), "k": jnp.ones((3, 2, 4))}
    options = {
        "names": ["qk"],
        "paths": {"qk": Split(["q", "k"])},
        "transpose": {"*": (1, 0, 0)},
    }
    whole = gx.MuonDimensionNumbers(0, (1, 2))
    tx = gx.muon(0.02, muon_weight_dimension_numbers=whole)
    (hint,) = hints(tx, muon_of((16, 3)), params, **options)
    assert hint.startswith("torch's Muon moves qk as one matrix each, here they are several")
    heads = gx.muon(0.02, muon_weight_dimension_numbers=gx.MuonDimensionNumbers(0, 2))
    alone = {"names": ["q"], "transpose": {"q": (1, 0, 0)}}
    first, _ = hints(heads, muon_of((8, 3)), {"q": params["q"]}, **alone)
    assert first.startswith("torch's Muon moves q as one matrix each")


def test_what_muon_moves_on_one_side_only():
    """Embeddings have two axes, too, and are AdamW's in torch."""
    params = PARAMS | {"embed": jnp.ones((5, 3))}
    adam = adam_of((5, 3), step=40)
    options = {"names": [["w"], ["embed"]], "counts": "saved"}
    tx = gx.muon(0.02)
    with pytest.raises(ValueError, match=r"scale_by_muon moves embed, torch's Muon does not: lea"):
        from_torch(tx, params, [muon_of((6, 3)), adam], **CARRIED | options)
    told = {"w": gx.MuonDimensionNumbers(), "embed": None}
    tx = gx.muon(0.02, muon_weight_dimension_numbers=told, adam_learning_rate=0.1)
    state, _ = from_torch(tx, params, [muon_of((6, 3)), adam], **CARRIED | options)
    assert int(state["muon"][0].count) == int(state["adam"][0].count) == 40
    for other in (gx.adam(0.02), gx.sgd(0.02, momentum=0.95)):  # a mean is no sum
        with pytest.raises(ValueError, match=r"torch's Muon moves w, here scale_by_muon does not"):
            from_torch(other, PARAMS, muon_of((6, 3)), **CARRIED)
    sgd = {"lr": 0.02, "momentum": 0.95, "dampening": 0, "weight_decay": 0, "nesterov": True}
    given = muon_of((6, 3)) | {"param_groups": [sgd | {"params": [0]}]}
    with pytest.raises(ValueError, match=r"muon/scale_by_muon/mu/w"):
        from_torch(gx.muon(0.02), PARAMS, given, **CARRIED)
