"""A run that is saved, killed and restored goes on to the bit, for every line of tests/cases."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import export, restore
from gradtx.testing._subject import Subject
from gradtx.testing._trees import few_leaves
from tests.cases import CASES
from tests.state.filled import filled

KINDS = (
    "add_noise",
    "adamw",
    "moving_average",
    "chain / of a bare pair",
    "partition",
    "MultiSteps",
    "apply_if_finite",
    "inject_hyperparams",
    "with_ema",
    "schedule_free",
    "reduce_on_plateau",
    "split_real_and_imaginary",
)


def through_a_file(named_arrays):
    """Return arrays as they come back from a file of NumPy."""
    file = io.BytesIO()
    np.savez(file, **named_arrays)
    file.seek(0)
    return np.load(file)


def data(x):
    return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)


def same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(data(x), data(y))


def resumes(name):
    """Take 2 steps, save, restore into a new process's values, and take 2 more."""
    made, options = CASES[name].make(), CASES[name].options
    few = {"params": few_leaves(), "extras": options.get("extras"), "tolerance": 0.0}
    subject = Subject(made, **few, examples=options.get("examples"))
    gradients = [*subject.gradients, subject.gradients[0]]
    *_, half, _, whole = (step.state for step in subject.run(subject.params, gradients))
    tx = CASES[name].make()
    state, report = restore(tx, subject.params, through_a_file(export(made, half)))
    assert report.exact, report
    same(state, half)
    last = subject.run(subject.params, gradients[2:], state)[-1]
    same(last.state, whole)


@pytest.mark.parametrize("name", KINDS)
def test_resume(name):
    resumes(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in KINDS])
def test_resume_of_the_rest(name):
    resumes(name)


@pytest.mark.slow
def test_export_goes_through_orbax(tmp_path):
    """Flat, by names; and what it gives back fits another recipe."""
    import orbax.checkpoint as ocp

    tx = gx.with_ema(
        gx.chain(gx.add_noise(0.1, 0.5, key=1), gx.adamw(0.1, mu_dtype="bfloat16")), 0.9
    )
    params = few_leaves()
    _, state = tx.update(params, tx.init(params), params)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", export(tx, state))
        checkpointer.wait_until_finished()
        saved = checkpointer.restore(tmp_path / "state")
    again, report = restore(tx, params, saved)
    assert report.exact
    same(again, state)
    inner, report = restore(gx.adamw(0.1, mu_dtype="bfloat16"), params, saved, extra="drop")
    same(inner, state.inner_state[1])
    assert all(name.split("/")[0] in ("with_ema", "add_noise") for name in report.extra)


@pytest.mark.slow
def test_every_state_goes_through_orbax(tmp_path):
    """The state itself, and its export, of every line: each bit comes back, in its place.

    That a run goes on to the bit from a state that is the same to the bit is shown above.
    """
    import orbax.checkpoint as ocp

    params = few_leaves()
    made = {name.replace("/", "|"): case.make() for name, case in CASES.items()}
    states = {name: filled(tx, params) for name, tx in made.items()}
    exports = {name: export(tx, states[name]) for name, tx in made.items()}
    with ocp.StandardCheckpointer() as checkpointer:
        for what in (states, exports):
            path = tmp_path / ("exports" if what is exports else "states")
            checkpointer.save(path, what)
            checkpointer.wait_until_finished()
            back = checkpointer.restore(path, jax.eval_shape(lambda what=what: what))
            same(back, what)
    for name, tx in made.items():
        state, report = restore(tx, params, back[name])
        assert report.exact, report
        same(state, states[name])
