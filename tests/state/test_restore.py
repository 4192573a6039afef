"""Restoring by name: what fits, what differs, what the report and the errors say."""

import io
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import export, restore
from tests.state.filled import filled

PARAMS = {
    "layers": [{"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}, {"w": jnp.ones((2, 2))}],
    "out": jnp.ones(2),
}
ADAM = gx.adamw(0.1)


def saved(tx, params=PARAMS):
    """Return an export that went through a file of NumPy."""
    file = io.BytesIO()
    np.savez(file, **export(tx, filled(tx, params)))
    file.seek(0)
    return np.load(file)


def same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def test_the_same_recipe_is_restored_to_the_bit():
    state, report = restore(ADAM, PARAMS, saved(ADAM))
    same(state, filled(ADAM, PARAMS))
    assert report.exact and len(report.restored) == 9
    assert str(report) == "9 of 9 arrays taken over"


@pytest.mark.parametrize(
    "tx",
    [
        gx.scale_by_adam(),
        gx.chain(gx.clip_by_global_norm(1.0), gx.adam(0.1), gx.scale(0.5)),
        gx.chain(gx.scale_by_adam(), gx.add_decayed_weights(0.1), gx.scale(-0.1)),
    ],
)
def test_parts_without_state_may_come_and_go(tx):
    state, report = restore(tx, PARAMS, saved(ADAM))
    assert report.exact
    same(export(tx, state), export(ADAM, filled(ADAM, PARAMS)))


def test_constant_rate_becomes_a_schedule():
    tx, file = gx.adamw(gx.cosine_decay_schedule(0.1, 10)), saved(ADAM)
    with pytest.raises(ValueError, match="does not fit adamw") as error:
        restore(tx, PARAMS, file)
    assert "1 of its arrays were not saved: scale_by_learning_rate/count" in str(error.value)
    assert 'Give missing="init"' in str(error.value)
    assert 'counts="saved" starts scale_by_learning_rate/count at 3' in str(error.value)
    state, report = restore(tx, PARAMS, file, missing="init")
    assert int(state[2].count) == 0 and report.missing == ("scale_by_learning_rate/count",)
    for counts in ("saved", 3):
        state, report = restore(tx, PARAMS, file, missing="init", counts=counts)
        same(state, filled(tx, PARAMS))
        assert report.counted == {"scale_by_learning_rate/count": 3} and report.missing == ()
    state, report = restore(ADAM, PARAMS, saved(tx), extra="drop")
    same(state, filled(ADAM, PARAMS))
    assert report.extra == ("scale_by_learning_rate/count",)


def test_counts_beside_fresh_moments_start_at_0():
    """A count of 3 beside moments of 0 would leave them without their correction of bias."""
    file = saved(gx.sgd(gx.linear_schedule(0.1, 0.0, 10)))
    tx = gx.adam(gx.linear_schedule(0.1, 0.0, 10))
    state, report = restore(tx, PARAMS, file, missing="init", counts="saved")
    assert (int(state[0].count), int(state[1].count)) == (0, 3)
    assert "scale_by_adam/count" in report.missing and report.counted == {}


def test_saved_counts_that_differ_raise():
    tx = gx.chain(gx.scale_by_adam(), gx.scale_by_schedule(gx.constant_schedule(1.0)))
    file = dict(saved(tx)) | {"scale_by_schedule/count": np.int32(7)}
    new = gx.chain(tx, gx.add_decayed_weights(gx.constant_schedule(0.1)))
    with pytest.raises(ValueError, match=r"it differ: .*'scale_by_schedule/count': 7"):
        restore(new, PARAMS, file, missing="init", counts="saved")
    with pytest.raises(ValueError, match="there is none"):
        restore(gx.sgd(lambda n: 0.1), PARAMS, {}, missing="init", counts="saved")


class Model(NamedTuple):
    out: object
    w: object


class Reordered(NamedTuple):
    w: object
    out: object


def test_reordered_parameters_are_matched_by_name():
    """Both arrays have one shape: by position they would change places."""
    w, out = jnp.ones(2), jnp.zeros(2)
    state, report = restore(ADAM, Reordered(w, out), saved(ADAM, Model(out, w)))
    expected = filled(ADAM, Model(out, w))[0].mu
    assert report.exact
    same((state[0].mu.w, state[0].mu.out), (expected.w, expected.out))


def test_new_and_removed_layers():
    more = PARAMS | {"head": jnp.full(3, 2.0)}
    tx = gx.with_ema(ADAM, 0.9)
    with pytest.raises(ValueError, match="were not saved: with_ema/average/head"):
        restore(tx, more, saved(tx))
    state, report = restore(tx, more, saved(tx), missing="init")
    same(state.average["head"], more["head"])
    assert state.average["head"] is not more["head"]
    assert len(report.missing) == 3 and not report.exact
    with pytest.raises(ValueError, match="3 saved arrays have no place in it") as error:
        restore(tx, PARAMS, saved(tx, more))
    assert 'Give extra="drop"' in str(error.value)
    state, report = restore(tx, PARAMS, saved(tx, more), extra="drop")
    assert len(report.extra) == 3


def test_only_what_is_missing_is_made():
    described = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), PARAMS)
    state, _ = restore(ADAM, described, saved(ADAM))
    same(state, filled(ADAM, PARAMS))
    head = {"head": jax.ShapeDtypeStruct((3,), "float32")}
    with pytest.raises(ValueError, match="'scale_by_adam/mu/head', which is not there, the param"):
        restore(ADAM, described | head, saved(ADAM), missing="init")


def test_renamed_parts_are_found_and_suggested():
    moved = {"blocks": PARAMS["layers"], "out": PARAMS["out"]}
    with pytest.raises(ValueError, match=r"rename=\{'layers': 'blocks'\} would match them"):
        restore(ADAM, moved, saved(ADAM))
    for rename in ({"layers": "blocks"}, lambda name: name.replace("/layers/", "/blocks/")):
        state, report = restore(ADAM, moved, saved(ADAM), rename=rename)
        same(state[0].mu["blocks"], filled(ADAM, PARAMS)[0].mu["layers"])
        assert report.renamed["scale_by_adam/mu/blocks/0/w"] == "scale_by_adam/mu/layers/0/w"
    nested = {"model": PARAMS}
    state, report = restore(ADAM, nested, saved(ADAM), rename={"mu": "mu/model", "nu": "nu/model"})
    assert len(report.renamed) == 8


def test_a_renaming_that_could_be_another_is_not_suggested():
    """Layers of one shape: which was which nobody can say."""
    old, new = ({f"{c}{i}": jnp.ones(2) for i in range(3)} for c in "ab")
    with pytest.raises(ValueError, match="does not fit") as error:
        restore(ADAM, new, saved(ADAM, old))
    assert "rename=" not in str(error.value)


def test_renaming_exchanges_parts_and_refuses_what_is_nowhere():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    state, _ = restore(ADAM, params, saved(ADAM, params), rename={"a": "b", "b": "a"})
    same(state[0].mu["a"], filled(ADAM, params)[0].mu["b"])
    with pytest.raises(ValueError, match="`rename` has 'layer', but no saved name has it"):
        restore(ADAM, PARAMS, saved(ADAM), rename={"layer": "blocks"})
    with pytest.raises(ValueError, match=r"gives .* the same name"):
        restore(ADAM, params, saved(ADAM, params), rename={"a": "b"})


def test_another_number_of_rules_of_a_name_is_never_taken_for_it():
    file = saved(gx.trace(0.9))
    tx = gx.chain(gx.trace(0.9), gx.trace(0.5))
    with pytest.raises(ValueError, match="trace#1of2") as error:
        restore(tx, PARAMS, file)
    assert "rename={'trace/trace': 'trace#1of2/trace'}" in str(error.value)
    assert "Which of several it was, #1 or #2, is for you to say." in str(error.value)


GROUPS = gx.partition(
    {"matrix": gx.adamw(0.1), "rest": gx.adamw(0.1)},
    lambda params: jax.tree.map(lambda p: "matrix" if p.ndim == 2 else "rest", params),
)


def test_groups_are_introduced_and_given_up():
    with pytest.raises(ValueError, match=r"10 of the missing arrays have the names .*regroup=True"):
        restore(GROUPS, PARAMS, saved(ADAM))
    state, report = restore(GROUPS, PARAMS, saved(ADAM), regroup=True)
    same(state, filled(GROUPS, PARAMS))
    assert report.extra == report.missing == () and len(report.renamed) == 10
    buffers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves(state)]
    assert len(set(buffers)) == len(buffers)  # or the state could not be donated
    state, report = restore(ADAM, PARAMS, saved(GROUPS), regroup=True)
    same(state, filled(ADAM, PARAMS))
    assert report.extra == ()


def test_groups_out_of_step_are_not_joined():
    file = dict(saved(GROUPS)) | {"rest/scale_by_adam/count": np.int32(9)}
    with pytest.raises(ValueError, match="were not saved: scale_by_adam/count"):
        restore(ADAM, PARAMS, file, regroup=True)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: gx.MultiSteps(tx, 2),
        lambda tx: gx.accumulate(tx, 2),
        lambda tx: gx.guard(tx),
        lambda tx: gx.apply_if_finite(tx, 3),
        lambda tx: gx.with_ema(tx, 0.9),
        lambda tx: gx.tunable(tx),
    ],
)
def test_wrappers_are_added_and_removed(wrap):
    tx = wrap(ADAM)
    state, report = restore(tx, PARAMS, saved(ADAM), missing="init")
    own = [name for name in export(tx, state) if name not in export(ADAM, ADAM.init(PARAMS))]
    assert set(report.missing) | set(report.counted) == set(own)
    inside = {k: v for k, v in export(tx, state).items() if k not in own}
    same(inside, export(ADAM, filled(ADAM, PARAMS)))
    state, report = restore(ADAM, PARAMS, saved(tx), extra="drop")
    assert set(report.extra) == set(own)


def test_dtype_of_a_field_changed():
    narrow = gx.adamw(0.1, mu_dtype="bfloat16")
    with pytest.raises(ValueError, match=r"dtype \(saved -> wanted\): .*: float32 -> bfloat16"):
        restore(narrow, PARAMS, saved(ADAM))
    state, report = restore(narrow, PARAMS, saved(ADAM), cast=True)
    assert state[0].mu["out"].dtype == jnp.bfloat16 and len(report.cast) == 4
    # numpy.save knows no bfloat16, and saves two bytes.
    same(restore(narrow, PARAMS, saved(narrow))[0], filled(narrow, PARAMS))
    assert restore(ADAM, PARAMS, saved(narrow), cast=True)[0][0].mu["out"].dtype == jnp.float32


def test_shapes_that_changed_raise_or_start_anew():
    wider = PARAMS | {"out": jnp.ones(5)}
    with pytest.raises(ValueError, match=r"mu/out: \(2,\) -> \(5,\)") as error:
        restore(ADAM, wider, saved(ADAM))
    assert "gradtx.state.resize" in str(error.value)
    state, report = restore(ADAM, wider, saved(ADAM), reshaped="init")
    assert report.reshaped["scale_by_adam/mu/out"] == ((2,), (5,))
    assert state[0].mu["out"].shape == (5,) and int(state[0].count) == 3


def test_names_that_are_to_start_anew():
    tx = gx.tunable(gx.adamw(0.01))
    file = export(gx.tunable(ADAM), gx.tunable(ADAM).init(PARAMS))
    state, _ = restore(tx, PARAMS, file)
    assert float(gx.hyperparams(tx, state)["learning_rate"]) == pytest.approx(0.1)
    state, report = restore(tx, PARAMS, file, skip="tunable/hyperparams/*")
    assert float(gx.hyperparams(tx, state)["learning_rate"]) == pytest.approx(0.01)
    assert "tunable/hyperparams/learning_rate" in report.skipped and report.extra == ()
    with pytest.raises(ValueError, match=r"Did you mean 'tunable/hyperparams/\*'"):
        restore(tx, PARAMS, file, skip="tunable/hyperparam/*")


def test_keys_of_random_numbers_are_restored():
    tx = gx.chain(gx.add_noise(0.1, 0.5, key=3), ADAM)
    state, report = restore(tx, PARAMS, saved(tx))
    assert report.exact
    key = jax.random.key_data(filled(tx, PARAMS)[0].rng_key)
    np.testing.assert_array_equal(jax.random.key_data(state[0].rng_key), key)


def test_arrays_go_where_the_parameters_are():
    device = jax.devices()[3]
    params = jax.device_put(PARAMS, device)
    state, _ = restore(ADAM, params, saved(ADAM))
    assert state[0].mu["out"].devices() == {device}
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    params = {
        "w": jax.device_put(jnp.ones((4, 3)), split),
        "new": jax.device_put(jnp.ones(4), split),
    }
    old = {"w": np.ones((4, 3), np.float32)}
    state, _ = restore(
        gx.adafactor(0.1, 2), params, saved(gx.adafactor(0.1, 2), old), missing="init"
    )
    rows = state[0].v_col["w"]
    assert rows.sharding.mesh == mesh and rows.sharding.spec == jax.sharding.PartitionSpec("data")
    assert state[0].v["new"].sharding.spec == jax.sharding.PartitionSpec("data")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([1], TypeError, "must be a dict of arrays"),
        ({"a": {"b": 1}}, TypeError, "flat dict .* has \\['a'\\]"),
        ({"gradtx.state/version": 9}, ValueError, "version 9, but this gradtx knows"),
    ],
)
def test_what_is_no_export_raises(given, error, message):
    with pytest.raises(error, match=message):
        restore(ADAM, PARAMS, given)


@pytest.mark.parametrize(
    "arguments", [{"missing": "ini"}, {"extra": True}, {"counts": "save"}, {"counts": -1}]
)
def test_choices_are_checked(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be"):
        restore(ADAM, PARAMS, saved(ADAM), **arguments)


def test_restored_state_can_be_donated_with_its_parameters():
    tx = gx.with_ema(gx.adamw(gx.constant_schedule(0.1)), 0.9)
    state, _ = restore(tx, PARAMS, saved(ADAM), missing="init", counts="saved")
    step = jax.jit(lambda p, s: tx.step(p, s, p), donate_argnums=(0, 1))
    params = jax.tree.map(jnp.copy, PARAMS)
    params, state = step(params, state)
    step(params, state)


def test_counts_that_are_traced_cannot_be_taken_over():
    file = {k: v for k, v in export(ADAM, filled(ADAM, PARAMS)).items() if "version" not in k}
    tx = gx.adamw(gx.constant_schedule(0.1))

    def state(saved, counts):
        return restore(tx, PARAMS, saved, missing="init", counts=counts)[0]

    assert int(jax.jit(lambda x: state(x, 7))(file)[2].count) == 7
    with pytest.raises(ValueError, match=r"they are traced, .* give the number itself, counts=n"):
        jax.jit(lambda x: state(x, "saved"))(file)


def test_the_version_may_be_saved_under_a_prefix():
    file = {f"opt/{name}": x for name, x in export(ADAM, filled(ADAM, PARAMS)).items()}
    state, _ = restore(ADAM, PARAMS, file, rename=lambda name: name.removeprefix("opt/"))
    same(state, filled(ADAM, PARAMS))
    same(restore(ADAM, PARAMS, file, rename={"opt": ""})[0], state)


def test_exchanged_names_are_shown_each():
    params = {f"l{i}": {"w": jnp.ones(2)} for i in range(2)}
    report = restore(ADAM, params, saved(ADAM, params), rename={"l0": "l1", "l1": "l0"})[1]
    assert "scale_by_adam/mu/l1/w <- scale_by_adam/mu/l0/w" in str(report)
    moved = {f"m{i}": {"w": jnp.ones(2)} for i in range(2)}
    report = restore(ADAM, moved, saved(ADAM, params), rename={"l0": "m0", "l1": "m1"})[1]
    assert "scale_by_adam/mu/m*/w <- scale_by_adam/mu/l*/w (2)" in str(report)
