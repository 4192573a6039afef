"""Neighbouring rules become one function per array, traced once for each shape."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx._core.stage import FusedStage

SHAPES = [(i % 4 + 1, i % 3 + 1) for i in range(12)]


@contextlib.contextmanager
def counted(event):
    """Count the events of JAX's monitoring whose name ends so."""
    seen = []

    def listen(name, duration, **_):
        if name.endswith(event):
            seen.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def many(count=1000):
    return {f"layer{i}": jnp.full(SHAPES[i % 12], 0.1) for i in range(count)}


def fresh_rule():
    """Return a rule that no other test uses, whose traces are counted."""
    traces = []

    def counting_rule(g, state, p, h):
        traces.append(g.shape)
        return 2 * g, state

    return gx.Rule(counting_rule), traces


def test_1000_leaves_of_12_shapes_are_traced_12_times():
    rule, traces = fresh_rule()
    tx = gx.chain(gx.lift(rule), gx.trace(0.9), gx.scale(0.1))
    params = many()
    state = tx.init(params)
    jax.jit(tx.update).lower(params, state, params)
    assert len(traces) == len(set(SHAPES)) == 12
    tx.update(params, state, params)
    assert len(traces) == 12


def test_lowered_program_has_one_function_per_shape():
    params = many(100)
    tx = gx.chain(gx.trace(0.9), gx.scale(0.1))
    text = jax.jit(tx.update).lower(params, tx.init(params), params).as_text()
    assert text.count("func.func private @trace__scale__leaf") == 12


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b, c: gx.chain(a, b, c),
        lambda a, b, c: gx.chain(a, gx.chain(b, c)),
        lambda a, b, c: gx.chain(gx.chain(a, b), c),
        lambda a, b, c: gx.chain(gx.chain(gx.chain(a)), gx.chain(), gx.chain(b, gx.chain(c))),
        lambda a, b, c: gx.named_chain(("ab", gx.chain(a, b)), ("c", c)),
    ],
)
def test_nesting_does_not_change_what_is_compiled(make):
    parts = gx.trace(0.9), gx.scale(0.1), gx.add_decayed_weights(0.1)
    tx = make(*parts)
    params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
    (stage,) = tx.update.body.plan.stages
    assert isinstance(stage, FusedStage)
    ((program, used),) = stage.segments
    assert used == (0, 1, 2)
    flat = gx.chain(*parts)
    assert program is flat.update.body.plan.stages[0].segments[0][0]
    jaxpr = str(jax.make_jaxpr(tx.update)(params, tx.init(params), params))
    assert jaxpr == str(jax.make_jaxpr(flat.update)(params, flat.init(params), params))


def test_state_is_nested_as_written():
    tx = gx.chain(gx.scale(1.0), gx.chain(gx.trace(0.9), gx.chain()))
    state = tx.init({"w": jnp.ones(2)})
    assert [type(s).__name__ for s in state] == ["EmptyState", "tuple"]
    assert [type(s).__name__ for s in state[1]] == ["TraceState", "tuple"]
    named = gx.named_chain(("a", gx.trace(0.9)), ("b", gx.chain(gx.scale(1.0))))
    state = named.init({"w": jnp.ones(2)})
    assert type(state) is dict
    assert type(state["a"]).__name__ == "TraceState"
    assert type(state["b"]) is tuple


def test_whole_tree_number_splits_the_chain():
    tx = gx.chain(gx.scale(1.0), gx.clip_by_global_norm(1.0), gx.scale(2.0), gx.trace(0.9))
    (stage,) = tx.update.body.plan.stages
    names = [[part.name for part in program.segment.parts] for program, _ in stage.segments]
    assert names == [
        ["scale", "clip_by_global_norm"],
        ["clip_by_global_norm", "scale", "trace"],
    ]


MAKERS = [
    lambda x: gx.adam(0.1 * x, b1=0.9 * x, b2=0.99 * x, eps=1e-8 * x),
    lambda x: gx.chain(gx.clip_by_global_norm(x), gx.adamw(0.1 * x, weight_decay=0.1 * x)),
    lambda x: gx.sgd(0.1 * x, momentum=0.9 * x),
    lambda x: gx.parallel(gx.ema(0.9 * x), gx.root_mean_square(0.99 * x), merge=gx.divide),
]


@pytest.mark.parametrize("make", MAKERS)
def test_second_instance_with_other_numbers_lowers_nothing(make):
    params = {"w": jnp.ones((3, 5)), "b": jnp.ones(5)}

    def use(tx):
        state = tx.init(params)
        for _ in range(2):
            _, state = tx.update(params, state, params)

    use(make(1.0))
    with counted("jaxpr_to_mlir_module_duration") as lowered:
        use(make(0.5))
        use(make(np.float32(0.25)))
    assert lowered == []


def test_counting_sees_a_lowering():
    with counted("jaxpr_to_mlir_module_duration") as lowered:
        jax.jit(lambda x: x * 2 + 1)(jnp.ones(7))
    assert lowered


def test_static_argument_compiles_anew():
    params = {"w": jnp.ones((3, 5))}
    for nesterov, expected in ((True, True), (False, False)):
        tx = gx.trace(0.9, nesterov=nesterov)
        update = tx.update(params, tx.init(params))[0]["w"][0, 0]
        assert (float(update) > 1.5) is expected


def test_rules_that_are_closures_are_not_shared():
    """Two closures with one name and other values must not share a trace."""

    def make(factor):
        def scaled(g, state, p, h):
            return factor * g, state

        return gx.lift(gx.Rule(scaled))

    for factor in (2.0, 3.0):
        tx = make(factor)
        update, _ = tx.update({"w": jnp.ones(3)}, tx.init({"w": jnp.ones(3)}))
        np.testing.assert_array_equal(update["w"], factor * np.ones(3))


def test_inner_functions_are_named_after_their_rules():
    params = {"w": jnp.ones((2, 2))}
    tx = gx.chain(gx.trace(0.9), gx.scale(0.1))
    text = jax.jit(tx.update).lower(params, tx.init(params)).as_text(debug_info=True)
    assert "trace__scale__leaf" in text
    assert "0x" not in "".join(line for line in text.splitlines() if "func.func" in line)


def test_clear_caches():
    params = {"w": jnp.ones((3, 7))}
    tx = gx.chain(gx.trace(0.9), gx.scale(0.1))
    before, _ = tx.update(params, tx.init(params))
    gx.clear_caches()
    after, _ = tx.update(params, tx.init(params))
    again = gx.chain(gx.trace(0.9), gx.scale(0.1))
    other, _ = again.update(params, again.init(params))
    for tree in (after, other):
        np.testing.assert_array_equal(tree["w"], before["w"])
