"""What users read after a mistake that is easily made: what they probably meant."""

import re

import jax.numpy as jnp
import pytest

import gradtx as gx

W = jnp.ones((2, 3))
PARAMS = {"dense": {"w": W, "b": jnp.ones(3)}}
TUNABLE, ADAM, AVERAGE = gx.tunable(gx.sgd(0.1)), gx.adam(0.1), gx.with_ema(gx.sgd(0.1), 0.9)

MISTAKES = {
    "a list of parts": (
        lambda: gx.chain([gx.clip(1.0), gx.adam(0.1)]),
        "chain: every part must be .* A list? Give chain(*parts).",
    ),
    "a list of branches": (
        lambda: gx.parallel([gx.scale(1.0), gx.scale(2.0)], merge=gx.add),
        "parallel: .* A list? Give parallel(*parts).",
    ),
    "a list inside": (
        lambda: gx.accumulate([gx.clip(1.0), gx.adam(0.1)], 4),
        "accumulate: .* A list? Give chain(*parts).",
    ),
    "a dict of parts": (
        lambda: gx.chain({"a": gx.adam(0.1)}),
        "chain: .* A dict? Give named_chain(*parts.items()), or groups(*rules.items()).",
    ),
    "a decay in a chain": (
        lambda: gx.chain(gx.adam(0.1), gx.decay(0.1)),
        "chain: .* but one is decay(rate=0.1). It is a value for weight_decay=...; in a chain use "
        "add_decayed_weights(...).",
    ),
    "a schedule in a chain": (
        lambda: gx.chain(gx.adam(0.1), gx.cosine_decay_schedule(0.1, 10)),
        "chain: .* a schedule by itself is scale_by_schedule(...).",
    ),
    "spikes in a chain": (
        lambda: gx.chain(gx.adam(0.1), gx.spikes()),
        "chain: .* but one is spikes(). It is a value for guard(..., spikes=...).",
    ),
    "the pattern first": (
        lambda: gx.trainable("head/*", gx.adamw(0.1)),
        "trainable: the transformation comes first, trainable(inner, pattern), but `inner` is "
        "'head/*'.",
    ),
    "the pattern alone": (
        lambda: gx.accumulate("head/*", 4),
        "accumulate: .* but one is 'head/*'. The transformation comes first: "
        "accumulate(inner, every).",
    ),
    "the method first": (
        lambda: gx.with_rounding("split", gx.sgd(0.1)),
        "with_rounding: the transformation comes first, with_rounding(inner, method), but `inner` "
        "is 'split'.",
    ),
    "a number first": (
        lambda: gx.with_ema(0.9, gx.sgd(0.1)),
        "with_ema: the transformation comes first, with_ema(inner, decay), but `inner` is 0.9.",
    ),
    "rules in a dict": (
        lambda: gx.groups({"w": gx.adam(0.1), "b": None}),
        "groups: it takes rules, not a dict of them. Give groups(*rules.items()).",
    ),
    "rules in a list": (
        lambda: gx.groups([("w", gx.adam(0.1)), ("*", None)]),
        "groups: it takes rules one by one, not a list of them. Give groups(*rules).",
    ),
    "rules in a list, a frozen one first": (
        lambda: gx.groups([("backbone", None), ("a", "head", gx.adam(0.1)), ("*", gx.sgd(0.1))]),
        "groups: it takes rules one by one, not a list of them. Give groups(*rules).",
    ),
    "lr": (
        lambda: gx.adam(lr=0.1),
        "adam: no argument is called `lr`. Did you mean `learning_rate`? It takes .*",
    ),
    "beta1": (
        lambda: gx.adam(0.1, beta1=0.8),
        "adam: no argument is called `beta1`. Did you mean `b1`? .*",
    ),
    "epsilon": (
        lambda: gx.adam(0.1, epsilon=0.8),
        "adam: no argument is called `epsilon`. Did you mean `eps`? .*",
    ),
    "weight_decay of adam": (
        lambda: gx.adam(0.1, weight_decay=0.1),
        "adam: no argument is called `weight_decay`. `adamw` has it. It takes .*",
    ),
    "cautious": (
        lambda: gx.adamw(0.1, cautious=True),
        "adamw: no argument is called `cautious`. See weight_decay=gradtx.decay(..., cautious=...)."
        " It takes .*",
    ),
    "how to round": (
        lambda: gx.with_rounding(gx.sgd(0.1)),
        "with_rounding: missing a required argument: 'method'; its signature is "
        "with_rounding(inner, method, key=None, *, seed=None). `method` is one of 'stochastic', "
        "'kahan', 'split'.",
    ),
    "tunable twice": (
        lambda: gx.tunable(gx.tunable(gx.sgd(0.1))),
        "tunable: it is tunable already, all of it: tunable(sgd(learning_rate=0.1)).",
    ),
    "tunable lr": (
        lambda: gx.tunable(gx.sgd(0.1), "lr"),
        "tunable: there is no number `lr`. Did you mean `learning_rate`? .*",
    ),
    "set lr": (
        lambda: gx.set_hyperparams(TUNABLE, TUNABLE.init(W), lr=0.1),
        "set_hyperparams: there is no number `lr`. Did you mean `learning_rate`? .*",
    ),
    "no micro-steps": (
        lambda: gx.accumulate(gx.sgd(0.1), 0),
        "accumulate: `every` must be at least 1, but is 0.",
    ),
    "a pattern for a mask": (
        lambda: gx.masked(gx.sgd(0.1), "*/w").init(PARAMS),
        "masked: the mask must be a tree of booleans or a function of the parameters, but is "
        "'*/w'. A pattern of paths? Give gradtx.matching('*/w').",
    ),
    "groups inside flatten": (
        lambda: gx.flatten(gx.groups(("dense/w", gx.sgd(0.1)), ("*", None))).init(PARAMS),
        "groups: the pattern 'dense/w' matches no path: there is one array alone, which has none. "
        "Inside flatten there are no paths: put flatten inside the group.",
    ),
    "a schedule of three numbers": (
        lambda: run(gx.adamw(lambda count: jnp.ones(3))),
        "scale_by_learning_rate: the schedule `learning_rate` must return one number, but returned "
        "float32[3].",
    ),
    "a schedule of a string": (
        lambda: run(gx.sgd(lambda count: "fast")),
        "scale_by_learning_rate: the schedule `learning_rate` must return one number, but returned "
        "str 'fast'.",
    ),
    "no loss for a line search": (
        lambda: run(gx.lbfgs(), value_fn=lambda p: 0.0),
        "scale_by_zoom_linesearch needs the extra arguments `value` and `grad`: call "
        "update(updates, state, params, value=..., grad=...).",
    ),
    "nothing for a line search": (
        lambda: run(gx.lbfgs()),
        "scale_by_zoom_linesearch needs the extra arguments `value`, `grad` and `value_fn`: call "
        "update(updates, state, params, value=..., grad=..., value_fn=...).",
    ),
    "no loss for spikes": (
        lambda: run(gx.guard(gx.sgd(0.1), spikes=gx.spikes())),
        "guard needs the extra argument `value`: call update(updates, state, params, value=...). "
        'It is the loss; spikes(of="grad_norm") goes without it.',
    ),
    "params before the state": (
        lambda: ADAM.step(PARAMS, PARAMS, ADAM.init(PARAMS)),
        "adam: the params look like a state of a transformation: the order is (updates, state, "
        "params).",
    ),
    "the state first": (
        lambda: ADAM.update(ADAM.init(PARAMS), PARAMS, PARAMS),
        "adam: the updates look like a state of a transformation: the order is (updates, state, "
        "params).",
    ),
    "params before the state of an average": (
        lambda: AVERAGE.eval_params(PARAMS, AVERAGE.init(PARAMS)),
        "with_ema: the params look like a state of a transformation: the order is (state, params).",
    ),
    "a state of a part": (
        lambda: gx.chain(gx.clip(1.0), gx.trace(0.9)).step(PARAMS, gx.EmptyState(), PARAMS),
        "chain: its state must be a tuple of 2 states, but is an EmptyState. Was .*",
    ),
    "weight": (
        lambda: run(gx.accumulate(gx.sgd(0.1), 2), wieght=100.0),
        "accumulate: no extra argument is called `wieght`. Did you mean `weight`?",
    ),
    "flush, further inside": (
        lambda: run(gx.chain(gx.guard(gx.accumulate(gx.sgd(0.1), 2))), flsh=True),
        "chain: no extra argument is called `flsh`. Did you mean `flush`?",
    ),
    "weight, where nothing weighs": (
        lambda: run(gx.chain(gx.clip(1.0), gx.MultiSteps(gx.sgd(0.1), 2)), weight=3.0),
        "chain: nothing here takes the extra argument `weight`. It is for `accumulate`: .*",
    ),
    "flush, where nothing gathers": (
        lambda: run(gx.sgd(0.1), value=1.0, flush=True),
        "sgd: nothing here takes the extra argument `flush`. It is for `accumulate`: .*",
    ),
    "weights, where something weighs": (
        lambda: run(gx.accumulate(gx.sgd(0.1), 2), weights=3.0),
        "accumulate: no extra argument is called `weights`. Did you mean `weight`?",
    ),
    "value of nothing": (
        lambda: run(ADAM, valeu=3.0),
        "adam: no extra argument is called `valeu`. Did you mean `value`?",
    ),
}


def run(tx, **extra):
    """Take a step."""
    return tx.step(PARAMS, tx.init(PARAMS), PARAMS, **extra)


@pytest.mark.parametrize(("call", "text"), MISTAKES.values(), ids=MISTAKES)
def test_mistake(call, text):
    expected = re.escape(text).replace(r"\.\*", ".*")
    with pytest.raises((TypeError, ValueError), match=f"(?s)^{expected}$"):
        call()


def test_extra_arguments_that_are_for_somebody_else():
    """Those that resemble nothing, or what was given, or are an argument of a given function."""
    run(ADAM, value=1.0, grad=PARAMS, value_fn=lambda p: p, batch=1, loss=2.0)
    run(ADAM, weights=1.0, wieght=1.0, flsh=True, values=2.0, value_fns=None)
    ADAM.update(PARAMS, ADAM.init(PARAMS), PARAMS, grads=PARAMS)
    run(ADAM, weight=1.0, value_fn=lambda p, **batch: p)
    run(gx.MultiSteps(gx.accumulate(ADAM, 2), 2), weight=1.0, flush=True)
    tx = gx.accumulate(gx.sgd(0.1), 2)
    run(tx, batch=1, loss=2.0, lr=0.1, grad_fn=None, value_fn=lambda p: p)
    run(tx, weight=1.0, weights=2.0)
    run(tx, weights=1.0, value_fn=lambda p, weights: p)
    seen = []

    def update(updates, state, params=None, *, weights=None):
        seen.append(weights)
        return updates, state

    run(gx.chain(tx, (lambda params: (), update)), weights=3)
    assert seen == [3]
    conditional = gx.conditionally_mask(tx, lambda step, weights: weights > 0, True)
    run(conditional, weights=jnp.array(3))
