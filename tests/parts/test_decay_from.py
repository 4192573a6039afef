"""`decay_from`: decays of libraries that are not installed, by loops of what their sources say."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.testing import check_formula

RATE = 0.03


def falling(count):
    """Return a learning rate in the dtype of numbers."""
    return 0.1 / (1 + jnp.asarray(count, float))


def adam_of_keras(w, gradients, decayed):
    """Keras 3, adam.py: eps beside the root that is not corrected; decay comes before the step."""
    m = v = 0.0
    for t, g in enumerate(gradients):
        lr = 0.1 / (1 + t)
        w = decayed(w, lr)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - lr * np.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1)) * m / (np.sqrt(v) + 1e-7)
        yield w


@pytest.mark.parametrize(
    ("convention", "decayed"),
    [
        # keras/src/optimizers/base_optimizer.py, `_apply_weight_decay`.
        ("keras", lambda w, lr: w - w * RATE * lr),
        # tensorflow_addons/optimizers/weight_decay_optimizers.py, `_decay_weights_op`.
        ("tensorflow_addons", lambda w, lr: w - RATE * w),
    ],
)
def test_decay_from_libraries_that_are_not_installed(convention, decayed):
    value = gx.decay_from(convention, RATE)
    tx = gx.adamw(falling, eps=1e-7, eps_hat=True, weight_decay=value)
    check_formula(tx, lambda w, gradients: adam_of_keras(w, gradients, decayed))


def test_decay_from_the_rectified_adam_of_tensorflow_addons():
    """tensorflow_addons/optimizers/rectified_adam.py: decay is added before the rate."""

    def loop(w, gradients):
        m = v = 0.0
        longest = 2 / (1 - 0.99) - 1
        for t, g in enumerate(gradients, 1):
            m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
            length = longest - 2 * t * 0.99**t / (1 - 0.99**t)
            u = m / (1 - 0.9**t)
            if length >= 5:
                r = (length - 4) / (longest - 4) * (length - 2) / (longest - 2) * longest / length
                u = np.sqrt(r) * u / (np.sqrt(v / (1 - 0.99**t)) + 1e-7)
            w = w - 0.1 / t * (u + RATE * w)
            yield w

    value = gx.decay_from("tensorflow_addons.RectifiedAdam", RATE)
    check_formula(gx.radam(falling, b2=0.99, eps=1e-7, weight_decay=value), loop)


def test_decay_from_the_adafactor_of_torch():
    """Its decay is multiplied by lr, also when the relative step has fallen below that."""
    assert gx.decay_from("torch.Adafactor", 0.5) == gx.decay(0.5, peak=None)
    at = gx.decay_from("torch.Adafactor", 0.5, peak=0.25)
    assert (at.rate, at.coupling) == (0.125, "independent")
    with pytest.raises(TypeError, match="must be a number for 'torch"):
        gx.decay_from("torch.Adafactor", falling, peak=0.25)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gx.decay_from("torch.Sgd", 0.1), "Did you mean 'torch.SGD'"),
        (lambda: gx.decay_from("torch.AdamW", 0.1, peak=1.0), "`peak` is for the coupling"),
        (lambda: gx.decay_from("keras", -0.1), "decay: `rate` must be"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
