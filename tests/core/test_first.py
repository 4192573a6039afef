"""Functions whose first argument is the transformation, called with something else."""

import re

import jax
import jax.numpy as jnp
import pytest

import gradtx as gx
from gradtx.state import at_step, export, reset, resize, restore

P = {"w": jnp.ones(2), "head": {"w": jnp.ones(2)}}
CHAIN = gx.chain(gx.clip(1.0), gx.adam(0.1))
TX = gx.tunable(CHAIN)
S = TX.init(P)
SAVED = export(TX, S)
FIRST = "the transformation comes first, "


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: export(S), FIRST + "export(tx, state, ...), but `tx` is a state (TunableState)."),
        (lambda: export(S, TX), "Are `tx` and `state` swapped?"),
        (lambda: export(TX), "export: `state` is missing: export(tx, state, ...)."),
        (lambda: export(CHAIN.init(P), CHAIN), "`tx` is a state (tuple). Are `tx` and `state`"),
        (lambda: gx.hyperparams(S), FIRST + "hyperparams(tx, state), but"),
        (lambda: gx.hyperparams(gx.adam, S), "Was a constructor not called?"),
        (lambda: gx.set_hyperparams(S, learning_rate=1.0), FIRST),
        (lambda: gx.set_hyperparams(), "`tx` and `state` are missing"),
        (lambda: gx.release_hyperparams(S, "b1"), FIRST),
        (lambda: gx.sweep(P, TX, b1=[0.8]), "`tx` is a dict. Are `tx` and `params` swapped?"),
        (lambda: at_step(S, 5), FIRST + "at_step(tx, state, n, ...)"),
        (lambda: at_step(TX, S), "`n` is missing"),
        (lambda: at_step(TX, 5, S), "`n` must be an integer, but is a TunableState"),
        (lambda: at_step(None, S, 5), "`tx` is a NoneType."),
        (lambda: reset(S, P), FIRST + "reset(tx, state, params, ...)"),
        (lambda: reset(TX, S, "head/*"), "`params` is the string 'head/*': reset(tx, state, par"),
        (lambda: reset(TX, S, re.compile("head")), "`params` is the pattern 'head'"),
        (lambda: reset(TX, P, S), "(TunableState): reset(tx, state, params, ...). Are `params` an"),
        (lambda: restore(TX, SAVED, P), "`params` is a saved state, as export(tx, state) returns"),
        (lambda: restore(TX, SAVED, P), "Are `params` and `saved` swapped?"),
        (lambda: restore(TX, S, SAVED), "`params` is a state (TunableState): restore(tx, params,"),
        (lambda: restore(TX, P, S), "Is it the state itself?"),
        (lambda: restore(TX, P), "`saved` is missing"),
        (lambda: resize(TX, P, S, P), "Are `old_params` and `state` swapped?"),
        (lambda: gx.sharding.plan(P), FIRST + "plan(tx, params, ...)"),
        (lambda: at_step(TX, S, 5, were="a"), "unexpected keyword argument 'were'"),
    ],
)
def test_what_is_missing_or_swapped_is_said(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


def test_pairs_of_functions_and_described_parameters_are_welcome():
    pair = (lambda params: jnp.zeros(2), lambda g, state, params=None: (g, state))
    assert export(pair, jnp.zeros(2))
    described = jax.eval_shape(lambda: P)
    assert restore(TX, described, SAVED)[1].exact


def test_called_by_names_and_under_jit():
    moved = jax.jit(lambda s: at_step(n=5, state=s, tx=TX))(S)
    assert int(export(TX, moved)["scale_by_adam/count"]) == 5
    assert export.__name__ == "export" and export.__doc__
