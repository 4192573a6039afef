"""Momentum and Adam whose step reaches the lower bound of a model of the loss."""

from .._core.combine import chain
from .._core.rule import as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from .._parts.decay_value import NumberOrDecay
from .._parts.descent import is_described, placed
from .._stepsize.common import start_at
from .._stepsize.momo import MOMO, MOMO_ADAM
from ..typing import Decay, LearningRate, NonNegative, Real


@transformation
def momo(
    learning_rate: LearningRate = 1.0,
    beta: Decay = 0.9,
    lower_bound: Real = 0.0,
    weight_decay: NumberOrDecay = 0.0,
    adapt_lower_bound: bool = False,
) -> GradientTransformation:
    """MoMo: momentum whose step is Polyak's for a model of the loss from all gradients so far.

    With `value` the loss at the parameters, an extra argument of `update`, sums over all arrays,
    w = learning_rate weight_decay, and the means F of the loss, m of the gradient and c of
    sum g p, which are their first values at the first step:

        F = beta F + (1 - beta) value
        c = beta c + (1 - beta) sum g p
        m = beta m + (1 - beta) g
        e = max((1 + w) (F - c - lower_bound) + sum m p, 0)
        a = min(learning_rate, e / sum |m|^2)
        u = -(w p + a m) / (1 + w)

    With `adapt_lower_bound` the bound is an estimate that starts at `lower_bound` and stays above
    it: what the model says the loss is after half of the step.

    Shapes: m is shaped like g: the state costs a copy of the parameters. `value` is one number.
    Units: a is in units of the parameters over those of the gradient; the bound in those of the
        loss.

    Args:
        learning_rate: Longest step, in [0, inf), or a schedule of such.
        beta: Decay of the means, in [0, 1).
        lower_bound: What the loss cannot fall below, a number; 0 fits most losses.
        weight_decay: Weight decay of the model, in [0, inf), in which it is times the learning
            rate; or `decay(...)`, of which the model does not know.
        adapt_lower_bound: Whether the bound is estimated on the way.

    Returns:
        The optimizer. Its update needs the parameters and the extra argument `value`.

    Raises:
        ValueError: If an argument is outside its range, or on update if `value` is not one number.
        TypeError: On update, if `value` is missing.

    Source: Schaipp, Ohana, Eickenberg, Defazio, Gower 2023, https://arxiv.org/abs/2305.07583,
        Algorithm 1, and section 4 for the bound.
    Differs: where m is 0, so is the step. Optax does not divide a m by 1 + w, as the minimum of
        the model with its weight decay and the authors' code do, and makes no step where
        sum |m|^2 is below 2e-16.
    """
    if is_described(weight_decay):
        at = placed(weight_decay, None, learning_rate, rate_is_last=False)
        rule = momo(learning_rate, beta, lower_bound, 0.0, adapt_lower_bound)
        return chain(*at.gradient, rule, *at.step)
    return lift(
        MOMO,
        learning_rate=learning_rate,
        beta=as_decay(beta),
        lower_bound=lower_bound,
        weight_decay=weight_decay,
        static={"owner": "momo", "adam": False, "adapt_lower_bound": bool(adapt_lower_bound)},
        start=_start(lower_bound),
    )


def _start(lower_bound: Real) -> dict:
    return {"barf": start_at(0.0), "gamma": start_at(0.0), "lb": start_at(lower_bound)}


@transformation
def momo_adam(
    learning_rate: LearningRate = 1e-2,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    lower_bound: Real = 0.0,
    weight_decay: NumberOrDecay = 0.0,
    adapt_lower_bound: bool = False,
) -> GradientTransformation:
    """MoMo-Adam: Adam whose step is Polyak's for a model of the loss from all gradients so far.

    At step t = 1, 2, ..., with `value` the loss at the parameters, an extra argument of `update`,
    sums over all arrays, w = learning_rate weight_decay, b = 1 - b1^t, and F = c = m = v = 0
    before:

        F = b1 F + (1 - b1) value
        c = b1 c + (1 - b1) sum g p
        m = b1 m + (1 - b1) g
        v = b2 v + (1 - b2) |g|^2
        q = m / (sqrt(v / (1 - b2^t)) + eps)
        e = max((1 + w) (F - c - b lower_bound) + sum m p, 0)
        a = min(learning_rate / b, e / sum m q)
        u = -(w p + a q) / (1 + w)

    With `adapt_lower_bound` the bound is an estimate that starts at `lower_bound` and stays above
    it: what the model says the loss is after half of the step.

    Shapes: m and v are shaped like g: the state costs two copies of the parameters. `value` is one
        number.
    Units: q has none, so a is the distance a parameter moves in one step; the bound is in units of
        the loss.

    Args:
        learning_rate: Longest step, in [0, inf), or a schedule of such.
        b1: Decay of the means of the loss and of the gradient, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        lower_bound: What the loss cannot fall below, a number; 0 fits most losses.
        weight_decay: Weight decay of the model, in [0, inf), in which it is times the learning
            rate; or `decay(...)`, of which the model does not know.
        adapt_lower_bound: Whether the bound is estimated on the way.

    Returns:
        The optimizer. Its update needs the parameters and the extra argument `value`.

    Raises:
        ValueError: If an argument is outside its range, or on update if `value` is not one number.
        TypeError: On update, if `value` is missing.

    Source: Schaipp, Ohana, Eickenberg, Defazio, Gower 2023, https://arxiv.org/abs/2305.07583,
        Algorithm 2, and section 4 for the bound.
    Differs: where m is 0, so is the step. Optax does not divide a q by 1 + w, as the minimum of
        the model with its weight decay and the authors' code do, and makes no step where
        sum m q is below 2e-16.
    """
    if is_described(weight_decay):
        at = placed(weight_decay, None, learning_rate, rate_is_last=False)
        rule = momo_adam(learning_rate, b1, b2, eps, lower_bound, 0.0, adapt_lower_bound)
        return chain(*at.gradient, rule, *at.step)
    return lift(
        MOMO_ADAM,
        learning_rate=learning_rate,
        b1=as_decay(b1),
        b2=as_decay(b2),
        eps=eps,
        lower_bound=lower_bound,
        weight_decay=weight_decay,
        static={"owner": "momo_adam", "adam": True, "adapt_lower_bound": bool(adapt_lower_bound)},
        start=_start(lower_bound),
    )
