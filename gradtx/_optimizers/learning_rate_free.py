"""Optimizers that find their own step size: from distances travelled, or by betting."""

from typing import Any

from .._core.combine import chain
from .._core.rule import as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from .._parts.decay_value import DecayLike, NumberOrDecay
from .._parts.descent import found, placed
from .._parts.scale import scale_by_learning_rate
from .._stepsize.cocob import scale_by_cocob
from .._stepsize.common import start_at, two_decays
from .._stepsize.dadapt import dadapt_adamw_rule
from .._stepsize.dog import InitStep, scale_by_dog
from .._stepsize.dowg import scale_by_dowg
from .._stepsize.prodigy import PRODIGY, PRODIGY_SOME_DECAY
from ..typing import (
    Decay,
    LearningRate,
    NonNegative,
    Numeric,
    Positive,
)


@transformation
def dog(
    learning_rate: LearningRate = 1.0,
    init_step: InitStep = ("heuristic", 1e-6),
    eps: NonNegative = 1e-8,
    weight_decay: DecayLike | None = None,
    mask: Any = None,
) -> GradientTransformation:
    """DoG: descent by the distance travelled over the root of all squared gradients.

    The chain of `add_decayed_weights`, `scale_by_dog` and `scale_by_learning_rate`. Its authors
    evaluate an average of the parameters.

    Args:
        learning_rate: Factor of the steps it finds, in [0, inf), or a schedule of such.
        init_step: How the first step gets its length: a pair of "distance", "heuristic" or
            "learning_rate", and a number in [0, inf); see `scale_by_dog`.
        eps: Added under the root, in [0, inf), in units of the squared gradient.
        weight_decay: Coupled weight decay, added to the gradients: in [0, inf), a schedule of
            such, or `decay(...)`; None for none.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function of the
            parameters to one; None for all.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If `init_step` is no such pair.

    Source: Ivgi, Hinder, Carmon 2023, https://arxiv.org/abs/2302.12022, equations 2 and 3.
    """
    at = placed(weight_decay, mask, learning_rate)
    return chain(
        *at.gradient,
        *at.plain,
        scale_by_dog(init_step, eps),
        *at.direction,
        scale_by_learning_rate(learning_rate),
        *at.step,
    )


@transformation
def dowg(
    learning_rate: LearningRate = 1.0,
    init_estim_sq_dist: NonNegative | None = None,
    eps: NonNegative = 1e-4,
    weight_decay: DecayLike | None = None,
    mask: Any = None,
) -> GradientTransformation:
    """DoWG: DoG whose squared gradients count by the distance at which they were seen.

    The chain of `add_decayed_weights`, `scale_by_dowg` and `scale_by_learning_rate`.

    Args:
        learning_rate: Factor of the steps it finds, in [0, inf), or a schedule of such.
        init_estim_sq_dist: First squared distance, in [0, inf); None for `eps`.
        eps: Added to the root, in [0, inf), in units of the gradient times the parameters.
        weight_decay: Coupled weight decay, added to the gradients: in [0, inf), a schedule of
            such, or `decay(...)`; None for none.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function of the
            parameters to one; None for all.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Khaled, Mishchenko, Jin 2023, https://arxiv.org/abs/2305.16284, Algorithm 1.
    """
    at = placed(weight_decay, mask, learning_rate)
    return chain(
        *at.gradient,
        *at.plain,
        scale_by_dowg(init_estim_sq_dist, eps),
        *at.direction,
        scale_by_learning_rate(learning_rate),
        *at.step,
    )


@transformation
def cocob(
    learning_rate: LearningRate = 1.0,
    alpha: NonNegative = 100.0,
    eps: NonNegative = 1e-8,
    weight_decay: DecayLike = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """COCOB: every parameter bets on the sign of its gradient.

    The chain of `add_decayed_weights`, `scale_by_learning_rate` without a flipped sign, and
    `scale_by_cocob`.

    Args:
        learning_rate: Factor of the gradients, in [0, inf), or a schedule of such. A constant one
            changes nothing but the weight of eps.
        alpha: Bound on the first bets, in [0, inf): they are at most 1 / alpha of the stake.
        eps: First largest gradient, in [0, inf), in units of the gradient.
        weight_decay: Coupled weight decay, added to the gradients: in [0, inf), a schedule, or
            `decay(...)`.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function of the
            parameters to one; None for all.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Orabona, Tommasi 2017, https://arxiv.org/abs/1705.07795, Algorithm 2.
    Differs: the paper has no learning rate.
    """
    at = placed(weight_decay, mask, learning_rate, rate_is_last=False)
    return chain(
        *at.gradient,
        *at.plain,
        scale_by_learning_rate(learning_rate, flip_sign=False),
        scale_by_cocob(alpha, eps),
        *at.step,
    )


@transformation
def dadapt_adamw(
    learning_rate: LearningRate = 1.0,
    betas: tuple[Numeric, Numeric] = (0.9, 0.999),
    eps: NonNegative = 1e-8,
    estim_lr0: Positive = 1e-6,
    weight_decay: NumberOrDecay = 0.0,
    *,
    bias_correction: bool = True,
) -> GradientTransformation:
    """AdamW whose learning rate is a lower bound on the distance to the solution, by D-Adaptation.

    At step t = 1, 2, ..., with c = sqrt(b2), sums over all arrays, m = v = s = r = 0 and
    d = estim_lr0 before:

        a = d learning_rate sqrt(1 - b2^t) / (1 - b1^t)
        r = c r + (1 - c) a sum g s / (sqrt(v) + eps)
        m = b1 m + (1 - b1) a g
        v = b2 v + (1 - b2) |g|^2
        s = c s + (1 - c) a g
        d = max(d, r / ((1 - c) sum |s|))
        u = -m / (sqrt(v) + eps) - weight_decay a p

    where r takes s and v, and a takes d, from the step before. Without `bias_correction` a is
    d learning_rate.

    Shapes: m, v and s are shaped like g: the state costs three copies of the parameters. r and d
        are one number each for the whole tree.
    Units: d is in units of the parameters.

    Args:
        learning_rate: Factor of the rate it finds, in [0, inf), or a schedule of such.
        betas: The decays b1 of the mean and b2 of the mean square, each in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        estim_lr0: First d, in (0, inf); it must be too small, for d can only grow.
        weight_decay: Decoupled weight decay, in [0, inf), times the rate it finds; or `decay(...)`.
        bias_correction: Whether the rate corrects the bias of both moments.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If `betas` is no pair.

    Source: Defazio, Mishchenko 2023, https://arxiv.org/abs/2301.07733, Algorithm 5.
    Differs: bias correction is a part of the schedule there. As in the authors' code, v in r is
        that of the step before. Without a gradient and a rate other than 0, d stays as it is; in
        Optax it becomes nan, for a schedule that starts at 0, too.
    """
    b1, b2 = two_decays("dadapt_adamw", betas)
    own = found(weight_decay, learning_rate)
    if own.around.any:
        rule = dadapt_adamw(
            learning_rate, betas, eps, estim_lr0, own.rate, bias_correction=bias_correction
        )
        return chain(*own.around.gradient, rule, *own.around.step)
    return lift(
        dadapt_adamw_rule(own.static["towards"], own.where is not None),
        learning_rate=learning_rate,
        b1=as_decay(b1),
        b2=as_decay(b2),
        eps=eps,
        weight_decay=own.rate,
        static={"bias_correction": bool(bias_correction), **own.static},
        where=own.where,
        start={"estim_lr": start_at(estim_lr0), "numerator_weighted": start_at(0.0)},
    )


@transformation
def prodigy(
    learning_rate: LearningRate = 1.0,
    betas: tuple[Numeric, Numeric] = (0.9, 0.999),
    beta3: Decay | None = None,
    eps: NonNegative = 1e-8,
    estim_lr0: Positive = 1e-6,
    estim_lr_coef: NonNegative = 1.0,
    weight_decay: NumberOrDecay = 0.0,
    safeguard_warmup: bool = False,
    *,
    bias_correction: bool = True,
) -> GradientTransformation:
    """AdamW whose learning rate is a bound on the distance to the solution that grows fast.

    At step t = 1, 2, ..., with sums over all arrays, p_0 the parameters at `init`, d_0 = estim_lr0,
    m = v = s = r = 0 and d = d_0 before:

        a = d learning_rate sqrt(1 - b2^t) / (1 - b1^t)
        m = b1 m + (1 - b1) d g
        v = b2 v + (1 - b2) d^2 |g|^2
        r = beta3 r + d / d_0 a sum g (p_0 - p)
        s = beta3 s + d / d_0 a g
        d = max(d, estim_lr_coef r / sum |s|)
        u = -a (m / (sqrt(v) + d eps) + weight_decay p)

    where all but the last two lines take d from the step before. Without `bias_correction` a is
    d learning_rate, and with `safeguard_warmup` the a of s is d.

    Shapes: m, v, s and p_0 are shaped like g: the state costs four copies of the parameters, in
        float32 or wider. r and d are one number each for the whole tree.
    Units: d is in units of the parameters.

    Args:
        learning_rate: Factor of the rate it finds, in [0, inf), or a schedule of such.
        betas: The decays b1 of the mean and b2 of the mean square, each in [0, 1).
        beta3: Decay of r and s, in [0, 1); None for sqrt(b2).
        eps: Added to the root, in [0, inf), in units of the gradient.
        estim_lr0: First d, in (0, inf); it must be too small, for d can only grow.
        estim_lr_coef: Factor of the bound, in [0, inf).
        weight_decay: Decoupled weight decay, in [0, inf), times the rate it finds; or `decay(...)`.
        safeguard_warmup: Whether the learning rate stays out of s, for a long warm-up.
        bias_correction: Whether the rate corrects the bias of both moments.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If `betas` is no pair.

    Source: Mishchenko, Defazio 2023, https://arxiv.org/abs/2306.06101, Algorithm 4.
    Differs: bias correction is a part of the schedule there. As in the authors' code, eps is times
        the new d. Without a gradient and a rate other than 0, d stays as it is; in Optax it becomes
        nan, for a schedule that starts at 0, too.
    """
    b1, b2 = two_decays("prodigy", betas)
    own = found(weight_decay, learning_rate)
    if own.around.any:
        rule = prodigy(
            learning_rate,
            betas,
            beta3,
            eps,
            estim_lr0,
            estim_lr_coef,
            own.rate,
            safeguard_warmup,
            bias_correction=bias_correction,
        )
        return chain(*own.around.gradient, rule, *own.around.step)
    return lift(
        PRODIGY if own.where is None else PRODIGY_SOME_DECAY,
        learning_rate=learning_rate,
        b1=as_decay(b1),
        b2=as_decay(b2),
        b3=b2**0.5 if beta3 is None else beta3,
        eps=eps,
        estim_lr0=estim_lr0,
        estim_lr_coef=estim_lr_coef,
        weight_decay=own.rate,
        static={
            "safeguard_warmup": bool(safeguard_warmup),
            "bias_correction": bool(bias_correction),
            **own.static,
        },
        where=own.where,
        start={"estim_lr": start_at(estim_lr0), "numerator_weighted": start_at(0.0)},
    )
