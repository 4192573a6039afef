"""Sign descent, Signum, Lion and Rprop as whole optimizers."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

LR = 0.013


def sign_sgd(w, gradients, decay=0.0):
    for g in gradients:
        w = w - LR * (np.sign(g) + decay * w)
        yield w


def signum(w, gradients, decay=0.0):
    m = 0.0
    for g in gradients:
        m = 0.8 * m + 0.2 * g
        w = w - LR * (np.sign(m) + decay * w)
        yield w


def lion(w, gradients):
    m = 0.0
    for g in gradients:
        u = np.sign(0.8 * m + 0.2 * g)
        m = 0.95 * m + 0.05 * g
        w = w - LR * (u + 0.3 * w)
        yield w


def rprop(w, gradients):
    step, before = np.full_like(w, LR), np.zeros_like(w)
    for g in gradients:
        agreement = np.sign(g * before)
        factor = np.where(agreement > 0, 1.2, np.where(agreement < 0, 0.5, 1.0))
        step = np.clip(step * factor, 1e-6, 50.0)
        before = np.where(agreement < 0, 0.0, g)
        w = w - step * np.sign(before)
        yield w


@pytest.mark.parametrize(
    ("tx", "loop"),
    [
        (gradtx.sign_sgd(LR), sign_sgd),
        (gradtx.signum(LR, 0.8), signum),
        (gradtx.sign_sgd(LR, weight_decay=0.3), functools.partial(sign_sgd, decay=0.3)),
        (gradtx.signum(LR, 0.8, weight_decay=0.3), functools.partial(signum, decay=0.3)),
        (gradtx.lion(LR, 0.8, 0.95, weight_decay=0.3), lion),
        (gradtx.rprop(LR), rprop),
    ],
    ids=["sign_sgd", "signum", "sign_sgd-decay", "signum-decay", "lion", "rprop"],
)
def test_formula(tx, loop):
    check_formula(tx, loop)


def test_stored_dtypes():
    params = {"w": jnp.ones(2)}
    assert gradtx.lion(LR, mu_dtype="bfloat16").init(params)[0].mu["w"].dtype == jnp.bfloat16
    signum_state = gradtx.signum(LR, accumulator_dtype="bfloat16").init(params)
    assert signum_state[0].ema["w"].dtype == jnp.bfloat16
    narrow = {"w": jnp.ones(2, jnp.bfloat16)}
    assert gradtx.lion(LR).init(narrow)[0].mu["w"].dtype == jnp.float32
