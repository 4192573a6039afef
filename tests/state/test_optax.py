"""States of Optax, by the names of their classes: what goes together, what differs, errors."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import from_optax, to_optax
from tests.state.filled import filled

PARAMS = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}


class ScaleByAdamState(NamedTuple):
    """As Optax has it."""

    count: Any
    mu: Any
    nu: Any


class MaskedNode(NamedTuple):
    """As Optax has it."""


class MaskedState(NamedTuple):
    """As Optax has it."""

    inner_state: Any


class EmptyState(NamedTuple):
    """As Optax has it."""


class ScaleByScheduleState(NamedTuple):
    """As Optax has it."""

    count: Any


class ScaleByOptimisticGradientState(NamedTuple):
    """As Optax has it, with a flag."""

    is_initial_step: Any
    previous_gradient: Any


class MultiStepsState(NamedTuple):
    """As Optax has it."""

    mini_step: Any
    gradient_step: Any
    inner_opt_state: Any
    acc_grads: Any
    skip_state: Any = ()


class MechanicState(NamedTuple):
    """As Optax has it, with the first parameters."""

    base_optimizer_state: Any
    count: Any
    r: Any
    m: Any
    v: Any
    s: Any
    x0: Any


COUNT = jnp.asarray(5, jnp.int32)


def moments(scale, dtype="float32"):
    return jax.tree.map(lambda p: jnp.full_like(p, scale, dtype), PARAMS)


ADAM = ScaleByAdamState(COUNT, moments(2), moments(3))
ADAMW = (ADAM, EmptyState(), EmptyState())


def test_adamw_over_and_back():
    tx = gx.adamw(0.1)
    state, report = from_optax(tx, PARAMS, ADAMW)
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(PARAMS))
    assert report.exact
    assert int(state[0].count) == 5
    assert float(state[0].nu["w"][0, 0]) == 3
    like = jax.tree.map(jnp.zeros_like, ADAMW)
    back, report = to_optax(tx, state, like)
    assert report.exact
    assert jax.tree.structure(back) == jax.tree.structure(ADAMW)
    assert all(map(np.array_equal, jax.tree.leaves(back), jax.tree.leaves(ADAMW)))


def test_narrow_moments_become_wide():
    narrow = jax.tree.map(lambda x: x.astype("bfloat16") if x.ndim else x, ADAMW)
    params = jax.tree.map(lambda p: p.astype("bfloat16"), PARAMS)
    tx = gx.adamw(0.1)
    state, report = from_optax(tx, params, narrow)
    assert state[0].mu["w"].dtype == "float32"
    assert report.cast["scale_by_adam/mu/w"] == ("bfloat16", "float32")
    back, report = to_optax(tx, state, narrow)
    assert back[0].mu["w"].dtype == "bfloat16"
    assert report.cast["scale_by_adam/mu/w"] == ("float32", "bfloat16")


def test_chains_and_order_do_not_matter():
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.chain(gx.adamw(gx.linear_schedule(0.1, 0.0, 9))))
    state, report = from_optax(tx, PARAMS, ADAMW)
    assert report.counted == {"scale_by_learning_rate/count": 5}
    given = (ScaleByScheduleState(COUNT), (EmptyState(), (ADAM,)))
    state, report = from_optax(tx, PARAMS, given)
    assert report.exact
    assert float(state[1][0][0].mu["b"][0]) == 2


def test_wrappers_on_one_side():
    tx = gx.guard(gx.MultiSteps(gx.adam(0.1), 2))
    accumulated = MultiStepsState(COUNT // 5, COUNT, (ADAM, EmptyState()), moments(7))
    with pytest.raises(ValueError, match=r"arrays are not there: guard/.*missing=\"init\""):
        from_optax(tx, PARAMS, accumulated)
    state, report = from_optax(tx, PARAMS, accumulated, missing="init")
    assert all(name.startswith("guard/") for name in report.missing)
    assert len(report.restored) == 9
    with pytest.raises(ValueError, match=r"4 arrays have no place: mini_step, gradient_step, acc"):
        from_optax(gx.adam(0.1), PARAMS, accumulated)
    state, report = from_optax(gx.adam(0.1), PARAMS, accumulated, extra="drop")
    assert int(state[0].count) == 5
    with pytest.raises(ValueError, match=r"to_optax: .*\n.*4 arrays are not there: mini_step"):
        to_optax(gx.adam(0.1), state, accumulated)


def test_masks_and_labels():
    tx = gx.partition({"a": gx.adam(0.1), "b": gx.set_to_zero()}, {"w": "a", "b": "b"})
    masked = ScaleByAdamState(COUNT, *({"w": x["w"], "b": MaskedNode()} for x in ADAM[1:]))

    class PartitionState(NamedTuple):
        inner_states: Any

    given = {"a": MaskedState((masked, EmptyState())), "b": MaskedState(EmptyState())}
    state, report = from_optax(tx, PARAMS, PartitionState(given))
    assert report.exact
    assert float(jax.tree.leaves(state)[1][0, 0]) == 2
    with pytest.raises(ValueError, match=r"the labels are \['a'\] here and \['c'\] in Optax's"):
        from_optax(tx, PARAMS, PartitionState({"c": given["a"], "b": given["b"]}))


def test_flags_of_a_first_step():
    tx = gx.scale_by_optimistic_gradient()
    given = ScaleByOptimisticGradientState(jnp.asarray(True), moments(0))
    state, report = from_optax(tx, PARAMS, given)
    assert int(state.count) == 0
    given = given._replace(is_initial_step=jnp.asarray(False))
    state, report = from_optax(tx, PARAMS, given)
    assert int(state.count) == 1
    assert report.hints == (
        "scale_by_optimistic_gradient/count is set to 1: Optax says whether it is the first.",
    )
    assert int(from_optax(tx, PARAMS, given, counts=7)[0].count) == 7
    back, _ = to_optax(tx, state, given._replace(is_initial_step=jnp.asarray(True)))
    assert not back.is_initial_step


def test_sums_that_optax_computes():
    tx = gx.mechanize(gx.sgd(1.0), num_betas=2)
    ours = filled(tx, PARAMS)
    x0 = jax.tree.map(lambda p, d: p - jnp.sum(ours.s) * d, PARAMS, ours.delta)
    given = MechanicState((EmptyState(),), *ours[1:6], x0)
    state, report = from_optax(tx, PARAMS, given)
    np.testing.assert_allclose(state.delta["w"], ours.delta["w"], rtol=1e-6)
    assert "clip_reward=True does as Optax" in report.hints[0]
    back, _ = to_optax(tx, state, given, PARAMS)
    np.testing.assert_allclose(back.x0["w"], x0["w"], rtol=1e-6)
    with pytest.raises(ValueError, match=r"sum of updates needs the parameters: give `params`"):
        to_optax(tx, state, given)


@pytest.mark.parametrize(
    ("tx", "reason"),
    [
        (gx.adan(0.1), r"scale_by_adan means something else in Optax: Optax weighs the change"),
        (gx.acprop(0.1), r"scale_by_acprop means something else"),
        (gx.chain(gx.clip(1.0), gx.galore(0.1)), r"scale_by_galore means .*project=\"larger\""),
        (gx.amsgrad(0.1, bias_correction_nu=True), r"maximum of corrected squares"),
        (gx.adafactor(0.1, momentum=0.9), r"momentum is that of steps"),
    ],
)
def test_states_of_another_meaning_raise(tx, reason):
    with pytest.raises(ValueError, match=reason):
        from_optax(tx, PARAMS, ADAMW)
    with pytest.raises(ValueError, match=r"to_optax: the state of"):
        to_optax(tx, tx.init(PARAMS), ADAMW)


def test_rules_that_read_the_same_state_otherwise_are_hinted_at():
    _, report = from_optax(gx.yogi(0.1), PARAMS, ADAMW)
    assert report.hints == (
        "scale_by_yogi: Optax corrects the bias; bias_correction=True does so.",
    )
    assert from_optax(gx.yogi(0.1, bias_correction=True), PARAMS, ADAMW)[1].hints == ()


def test_what_does_not_fit_raises():
    with pytest.raises(ValueError, match=r"there are 2 ScaleByAdamState here and 1 in Optax's"):
        from_optax(gx.chain(gx.scale_by_adam(), gx.scale_by_adam()), PARAMS, ADAMW)
    other = {"w": jnp.ones((2, 3)), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"mu/w must have shape \(2, 3\), but has \(3, 2\). Is it"):
        from_optax(gx.adamw(0.1), other, ADAMW)
    with pytest.raises(ValueError, match=r"its place in Optax's state, 0/mu/w, has \(3, 2\)"):
        to_optax(gx.adamw(0.1), filled(gx.adamw(0.1), other), ADAMW)
    with pytest.raises(ValueError, match=r"`extra` must be one of"):
        from_optax(gx.adamw(0.1), PARAMS, ADAMW, extra="keep")


def test_keys_go_over_as_typed_ones_or_as_data():
    class HutchinsonState(NamedTuple):
        key: Any

    tx = gx.hutchinson_estimator_diag_hessian(jax.random.key(0))
    data = jax.random.key_data(jax.random.key(3))
    state, _ = from_optax(tx, PARAMS, HutchinsonState(data))
    assert state.key == jax.random.wrap_key_data(data)
    assert np.array_equal(to_optax(tx, state, HutchinsonState(data))[0].key, data)
    typed = HutchinsonState(jax.random.key(3))
    assert from_optax(tx, PARAMS, typed)[0].key == typed.key
    assert to_optax(tx, state, typed)[0].key == typed.key


def test_descriptions_will_do():
    params = jax.eval_shape(lambda: PARAMS)
    state, report = from_optax(gx.adamw(0.1), params, jax.eval_shape(lambda: ADAMW))
    assert report.exact
    assert isinstance(state[0].mu["w"], jax.ShapeDtypeStruct)
    given = ScaleByOptimisticGradientState(jax.ShapeDtypeStruct((), bool), params)
    state, _ = from_optax(gx.scale_by_optimistic_gradient(), params, given)
    assert isinstance(state.count, jax.ShapeDtypeStruct)
