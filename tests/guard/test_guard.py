"""Gradients that are not finite: skip the step, zero the leaf or raise; and never for ever."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.array([1.0, 2.0]), "b": jnp.zeros(3)}
ONES = jax.tree.map(jnp.ones_like, PARAMS)
TX = gx.guard(gx.adam(0.1))
same = functools.partial(jax.tree.map, np.testing.assert_array_equal)
close = functools.partial(
    jax.tree.map, functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7)
)


@functools.cache
def compiled(tx):
    """Return the step of a transformation, compiled once for all tests."""
    return jax.jit(tx.step)


def broken(value=np.nan, leaf="b"):
    """Return gradients with one entry that is not finite."""
    return ONES | {leaf: ONES[leaf].at[1].set(value)}


def numbers(state):
    """Return the counts of a guard's state."""
    return tuple(int(x) for x in (state.count, state.streak, state.nonfinite, state.spikes))


def steps(tx, gradients, params=PARAMS, jit=True, **extra):
    """Return (params, state) after steps."""
    step = compiled(tx) if jit else tx.step
    state = tx.init(params)
    for g in gradients:
        params, state = step(g, state, params, **extra)
    return params, state


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_skipped_step_leaves_no_trace(value):
    params, state = steps(TX, [ONES])
    after, new = compiled(TX)(broken(value), state, params)
    same(after, params)
    same(new.inner_state, state.inner_state)
    assert numbers(new) == (2, 1, 1, 0)
    assert new.bad_leaves.tolist() == [0, -1, -1, -1]
    updates, _ = TX.update(broken(value), state, params)
    assert not any(np.any(u) for u in jax.tree.leaves(updates))
    _, back = compiled(TX)(ONES, new, after)
    assert numbers(back) == (3, 0, 1, 0)
    assert back.bad_leaves.tolist() == [-1] * 4


GUARDED = {
    "skip": TX,
    "zero_leaf": gx.guard(gx.adam(0.1), "zero_leaf"),
    "spikes": gx.guard(gx.adam(0.1), "raise", spikes=gx.spikes(4, sigma=100.0), callback=False),
}


@pytest.mark.parametrize(
    "name",
    ["skip", *(pytest.param(name, marks=pytest.mark.slow) for name in GUARDED if name != "skip")],
)
def test_finite_steps_are_those_of_the_inner_transformation(name):
    """allenai/OLMo-core#317: in the wrapper Adam never counted, so no bias was corrected."""
    gradients = [jax.tree.map(lambda g, t=t: g * t, ONES) for t in (1.0, 3.0, 2.0)]
    params, state = steps(GUARDED[name], gradients, value=1.0)
    expected, inner = steps(gx.adam(0.1), gradients, value=1.0)
    close(params, expected)
    close(state.inner_state, inner)


@pytest.mark.parametrize("jit", [pytest.param(False, marks=pytest.mark.slow), True])
def test_zero_leaf_is_a_gradient_of_zero_for_that_leaf(jit):
    """Its moments decay, its momentum moves it on, and the others take their step."""
    run = functools.partial(steps, jit=jit, value=1.0)
    params, state = run(GUARDED["zero_leaf"], [ONES, broken(np.inf)])
    expected, inner = run(gx.adam(0.1), [ONES, ONES | {"b": jnp.zeros(3)}])
    close(params, expected)
    close(state.inner_state, inner)
    assert numbers(state) == (2, 1, 1, 0)


def test_the_norm_of_what_is_left_is_finite():
    """deepspeedai/DeepSpeed#7171: a norm of inf times the mask of 0 was nan."""
    tx = gx.guard(gx.chain(gx.clip_by_global_norm(1.0), gx.sgd(1.0)), "zero_leaf")
    params, _ = steps(tx, [broken(np.inf)])
    np.testing.assert_allclose(params["w"], PARAMS["w"] - 0.5**0.5, rtol=1e-6)
    rule = gx.spikes(4, of="grad_norm")
    _, state = steps(gx.guard(gx.sgd(1.0), "zero_leaf", spikes=rule), [broken(np.inf)])
    np.testing.assert_allclose(state.windows["grad_norm"], [2**0.5, 0, 0, 0], rtol=1e-6)


def test_raise_without_jit_names_the_leaves():
    tx = gx.guard(gx.adam(0.1), "raise")
    with pytest.raises(
        FloatingPointError,
        match=r"guard: stopped at step 1 \(0 first\).*gradients at \['b'\] are not finite\. "
        r"Of 2 steps 1 had",
    ):
        steps(tx, [ONES, broken()], jit=False)


def test_it_names_a_few_of_many_leaves():
    params = {"layers": [jnp.ones(2) for _ in range(7)], "none": None, "count": jnp.arange(2)}
    tx = gx.guard(gx.sgd(0.1), "raise", callback=False)
    bad = {"layers": [params["layers"][0]] + [jnp.full(2, np.nan)] * 6} | dict.fromkeys(
        ["none", "count"]
    )
    _, state = jax.jit(tx.update)(bad, tx.init(params), params)
    message = r"\['layers'\]\[1\], .*\[4\] and perhaps others"
    with pytest.raises(FloatingPointError, match=message):
        gx.check_guards(state, params)
    with pytest.raises(FloatingPointError, match="leaf 2, leaf 3"):
        gx.check_guards(state)


@pytest.mark.parametrize("policy", ["skip", "zero_leaf"])
def test_it_gives_up_at_the_nth_bad_step_in_a_row(policy):
    tx = gx.guard(gx.sgd(0.1), policy, give_up_after=3)
    _, state = steps(tx, [broken(), broken(), ONES, broken(), broken()], jit=False)
    assert numbers(state) == (5, 2, 4, 0)
    with pytest.raises(FloatingPointError, match=r"stopped at step 5 .* last of 3 bad ones"):
        tx.update(broken(), state, PARAMS)


def finished(thunk):
    """Wait for results, and for callbacks."""
    jax.block_until_ready(thunk())
    jax.effects_barrier()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["raise", "give up"])
def test_a_compiled_program_raises_by_a_callback(kind):
    """Also with donated arguments, in a loop, and for one of several runs under vmap."""
    tx = gx.guard(gx.trace(0.9), "raise" if kind == "raise" else "skip", give_up_after=1)
    message = r"FloatingPointError: guard: stopped at step .*\['b'\]"
    step = jax.jit(tx.step, donate_argnums=(1, 2))
    copies = (broken(), *jax.tree.map(jnp.copy, (tx.init(PARAMS), PARAMS)))
    with pytest.raises(jax.errors.JaxRuntimeError, match=message):
        finished(lambda: step(*copies))

    def loop(flags):
        def one(carry, flag):
            g = ONES | {"b": jnp.where(flag, np.nan, ONES["b"])}
            return tx.step(g, carry[1], carry[0]), None

        return jax.lax.scan(one, (PARAMS, tx.init(PARAMS)), flags)[0]

    with pytest.raises(jax.errors.JaxRuntimeError, match="stopped at step 2"):
        finished(lambda: jax.jit(loop)(jnp.array([0, 0, 1, 0], bool)))
    runs = jax.jit(jax.vmap(loop))
    finished(lambda: runs(jnp.zeros((2, 2), bool)))
    with pytest.raises(jax.errors.JaxRuntimeError, match="stopped at step 1"):
        finished(lambda: runs(jnp.array([[0, 0], [0, 1]], bool)))


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param("raise", marks=pytest.mark.slow),
        "skip",
        pytest.param("zero_leaf", marks=pytest.mark.slow),
    ],
)
def test_without_a_callback_the_state_stops_and_says_so(policy):
    """And nothing moves any more, at finite gradients neither."""
    tx = gx.guard(gx.trace(0.9), policy, give_up_after=1, callback=False)
    chained = gx.chain(gx.clip(10.0), gx.partition({"all": tx}, "all"))
    params, state = steps(chained, [ONES])
    gx.check_guards(state)
    params, state = compiled(chained)(broken(), state, params)
    after, frozen = compiled(chained)(ONES, state, params)
    same(after, params)
    same(frozen, state)
    with pytest.raises(FloatingPointError, match=r"guard: stopped at step 1 .*\['b'\]"):
        gx.check_guards(frozen, params)
    assert "callback" not in str(jax.make_jaxpr(chained.step)(ONES, state, params))
    with pytest.raises(FloatingPointError, match="stopped at step 1"):
        chained.step(ONES, frozen, params)


def test_checking_several_runs_and_what_is_no_guard():
    state = gx.guard(gx.sgd(0.1)).init(PARAMS)
    runs = jax.tree.map(lambda x: jnp.stack([x, x]), state)
    stopped = runs._replace(
        stopped=jnp.array([False, True]), bad_leaves=runs.bad_leaves.at[1, 0].set(1)
    )
    gx.check_guards(runs)
    with pytest.raises(FloatingPointError, match=r"leaf 1 are not finite"):
        gx.check_guards(stopped)
    with pytest.raises(TypeError, match="no state of `guard` or `loss_scaling`"):
        gx.check_guards(gx.adam(0.1).init(PARAMS))
    with pytest.raises(TypeError, match="the state is traced"):
        jax.jit(gx.check_guards)(state)


def is_guard(node):
    """Return whether a part of a state is that of a guard."""
    return type(node).__name__ == "GuardState"


def scalar(tx, gradients):
    """Return the updates of one number."""
    state, updates, update = tx.init(jnp.zeros(())), [], jax.jit(tx.update)
    for g in gradients:
        u, state = update(jnp.array(g, jnp.float32), state)
        updates.append(float(u))
    return updates, state


@pytest.mark.parametrize("accumulate", [gx.MultiSteps, gx.accumulate])
def test_around_accumulation_another_micro_batch_takes_its_place(accumulate):
    """optax#828: what is skipped inside poisons the accumulator, or both freeze the run."""
    tx = gx.guard(accumulate(gx.sgd(1.0), 2))
    updates, state = scalar(tx, [1, np.inf, 3, np.nan, 5, 7])
    assert updates == [0, 0, -2, 0, 0, -6]
    assert numbers(state) == (6, 0, 2, 0)


@pytest.mark.parametrize("accumulate", [gx.MultiSteps, gx.accumulate])
def test_inside_accumulation_it_judges_the_mean(accumulate):
    tx = accumulate(gx.guard(gx.sgd(1.0)), 2)
    updates, state = scalar(tx, [1, np.inf, 3, 5, 5, 7])
    assert updates == [0, 0, 0, -4, 0, -6]
    inner = [s for s in jax.tree.leaves(state, is_leaf=is_guard) if is_guard(s)]
    assert numbers(*inner) == (3, 0, 1, 0)


def test_inside_a_group_it_judges_the_leaves_of_the_group():
    tx = gx.partition(
        {"w": gx.guard(gx.sgd(1.0)), "b": gx.guard(gx.sgd(1.0))}, {"w": "w", "b": "b"}
    )
    params, state = steps(tx, [broken(leaf="b")])
    same(params, {"w": PARAMS["w"] - 1, "b": PARAMS["b"]})
    assert [numbers(state.inner_states[k].inner_state)[2] for k in "wb"] == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["skip", "zero_leaf"])
def test_vmap_judges_each_run_by_itself(policy):
    rule = gx.spikes(2, of=("grad_norm", "loss"))
    tx = gx.guard(gx.trace(0.9), policy, spikes=rule, give_up_after=9)

    def run(values):
        def one(carry, x):
            gradients = {"w": jnp.array([1.0, x]), "b": jnp.ones(3)}
            return tx.step(gradients, carry[1], carry[0], value=1.0), None

        return jax.lax.scan(one, (PARAMS, tx.init(PARAMS)), values)[0]

    values = jnp.array([[1.0, 1, 1], [1, np.inf, 1], [1, 1, 900.0]])
    together = jax.jit(jax.vmap(run))(values)
    for i in range(3):
        alone = jax.jit(run)(values[i])
        close(jax.tree.map(lambda x, i=i: x[i], together), alone)
    assert together[1].spikes.tolist() == [0, 0, 1]
    assert together[1].nonfinite.tolist() == [0, 1, 0]


@pytest.mark.slow
def test_other_leaves_are_left_alone():
    params = {
        "z": jnp.ones(2, jnp.complex64),
        "n": None,
        "i": jnp.arange(2),
        "e": jnp.zeros((0, 2)),
    }
    none = {"n": None, "i": None, "e": jnp.zeros((0, 2))}
    for policy in ("skip", "zero_leaf"):
        tx = gx.guard(gx.sgd(0.1), policy, spikes=gx.spikes(4, of="grad_norm"))
        for value, bad in ((1 + 1j, 0), (complex(1, np.inf), 1), (complex(np.nan, 1), 1)):
            gradients = none | {"z": jnp.full(2, value, jnp.complex64)}
            updates, state = tx.update(gradients, tx.init(params), params)
            assert state.nonfinite == bad
            assert bool(np.any(updates["z"])) != bool(bad)


@pytest.mark.slow
def test_large_gradients_are_finite():
    """Whatever their squares are; a norm that float32 cannot hold is a spike."""
    gradients = {"w": jnp.array([3e38, -3e38]), "b": jnp.ones(3)}
    _, state = steps(gx.guard(gx.sgd(1e-38)), [gradients])
    assert numbers(state) == (1, 0, 0, 0)
    rule = gx.spikes(4, of="grad_norm")
    for policy in ("skip", "zero_leaf"):
        _, state = steps(gx.guard(gx.sgd(1e-38), policy, spikes=rule), [gradients])
        assert numbers(state) == (1, 1, 0, 1)


def test_metrics_by_cause():
    names = ("skipped_steps", "nonfinite_leaves", "skipped_nonfinite", "skipped_spikes", "streak")
    tx = gx.with_metrics(gx.guard(gx.sgd(0.1), spikes=gx.spikes(4)), *names)
    step, params, state = jax.jit(tx.step), PARAMS, tx.init(PARAMS)
    for g, loss in ((ONES, 1.0), (broken(), 1.0), (ONES, 1.1), (ONES, 9.0), (broken(), 1.0)):
        params, state = step(g, state, params, value=loss)
    assert {k: int(v) for k, v in gx.metrics(state).items()} == {
        "skipped_steps": 3,
        "nonfinite_leaves": 1,
        "skipped_nonfinite": 2,
        "skipped_spikes": 1,
        "streak": 2,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        gx.guard,
        lambda inner: gx.guard(inner, "zero_leaf", give_up_after=2),
        lambda inner: gx.guard(inner, spikes=gx.spikes()),
        gx.loss_scaling,
    ],
    ids=["skip", "zero_leaf", "spikes", "loss_scaling"],
)
def test_it_stores_nothing_like_the_parameters(make):
    params = {f"w{i}": jnp.ones((256, 512)) for i in range(4)}
    tx = make(gx.adamw(1e-3))
    step = jax.jit(lambda p, s, g: tx.step(g, s, p, value=1.0), donate_argnums=(0, 1))
    program = step.lower(params, jax.eval_shape(tx.init, params), params).compile()
    assert program.memory_analysis().temp_size_in_bytes < 50_000


def test_it_is_a_value():
    tx = gx.guard(gx.adam(0.1), "zero_leaf", spikes=gx.spikes(16, of="loss"), give_up_after=5)
    assert repr(tx) == (
        "guard(\n    inner=adam(learning_rate=0.1),\n    on_nonfinite='zero_leaf',\n"
        "    spikes=spikes(window=16, of='loss'),\n    give_up_after=5,\n)"
    )
    assert pickle.loads(pickle.dumps(tx)) == tx == gx.from_config(tx.to_config())
    assert tx != gx.guard(gx.adam(0.1), "zero_leaf", spikes=gx.spikes(16), give_up_after=5)


def test_errors():
    with pytest.raises(
        ValueError, match=r"`on_nonfinite` must be one of .* Did you mean 'zero_leaf'"
    ):
        gx.guard(gx.sgd(0.1), "zero_leaves")
    with pytest.raises(TypeError, match=r"`spikes` must be what gradtx\.spikes\(\.\.\.\) returned"):
        gx.guard(gx.sgd(0.1), spikes=6.0)
    with pytest.raises(ValueError, match="`give_up_after` must be an integer in"):
        gx.guard(gx.sgd(0.1), give_up_after=0)
    with pytest.raises(TypeError, match="must be True or False"):
        gx.guard(gx.sgd(0.1), callback=1)
    with pytest.raises(TypeError, match="must be a transformation or a pair"):
        gx.guard(gx.sgd)
    scaled = gx.partition({"all": gx.chain(gx.scale(1.0), gx.loss_scaling(gx.sgd(0.1)))}, "all")
    with pytest.raises(ValueError, match=r"a `loss_scaling` inside.*Put the guard into it"):
        gx.guard(scaled)
    tx = gx.guard(gx.sgd(0.1))
    with pytest.raises(ValueError, match="its state must be a GuardState"):
        tx.update(ONES, gx.sgd(0.1).init(PARAMS))


def test_frozen_groups_inside():
    tx = gx.guard(gx.groups(("b", None), ("*", gx.sgd(0.1))))
    new, _ = tx.step(ONES, tx.init(PARAMS), PARAMS)
    same(new, {"w": PARAMS["w"] - 0.1 * ONES["w"], "b": PARAMS["b"]})
