"""Adagrad, RMSProp and Adadelta: a rate for every entry, from the squares of its gradients."""

from typing import Any

from .._core.combine import chain, identity
from .._core.transformation import GradientTransformation, transformation
from .._moments.adadelta import scale_by_adadelta
from .._moments.adagrad import scale_by_rss
from .._moments.momentum import trace
from .._moments.rms import scale_by_rms, scale_by_stddev
from .._parts.decay_value import DecayLike
from .._parts.descent import decoupled, descend, placed
from .._parts.scale import scale_by_learning_rate
from ..typing import Decay, LearningRate, NonNegative


@transformation
def adagrad(
    learning_rate: LearningRate,
    initial_accumulator_value: NonNegative = 0.1,
    eps: NonNegative = 1e-7,
    *,
    eps_in_sqrt: bool = True,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """Adagrad: divide by the root of the sum of all squared gradients.

    For each array, with s = initial_accumulator_value before:

        s = s + |g|^2
        w = w - learning_rate g / sqrt(s + eps)

    Shapes: s is shaped like w.
    Units: `learning_rate` is in units of w. The steps get shorter and shorter, as 1 / sqrt(t) for
        a constant gradient.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such. PyTorch's lr_decay d is the
            schedule lr / (1 + d count).
        initial_accumulator_value: Start of s, in [0, inf); 0 in the paper.
        eps: In [0, inf); under the root in units of the squared gradient, outside in units of
            the gradient.
        eps_in_sqrt: Whether eps is added under the root. PyTorch adds it outside.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none. PyTorch's is an L2
            penalty, `decay_from("torch.Adagrad", number)`.

    Returns:
        The transformation: a chain of `scale_by_rss`, `add_decayed_weights` if it decays, and
        `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Duchi, Hazan, Singer 2011, https://jmlr.org/papers/v12/duchi11a.html, the diagonal form.
    Differs: the paper has no decay.
    """
    return descend(
        scale_by_rss(initial_accumulator_value, eps, eps_in_sqrt=eps_in_sqrt),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )


@transformation
def rmsprop(
    learning_rate: LearningRate,
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegative = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Decay | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    *,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """RMSProp: divide by the root of a mean of the squared gradient.

    For each array, with s = initial_scale and v = 0 before:

        s = decay s + (1 - decay) |g|^2
        w = w - learning_rate g / sqrt(s + eps)

    and with momentum, the learning rate inside the velocity:

        v = momentum v + learning_rate g / sqrt(s + eps)
        w = w - v

    Shapes: s and v are shaped like w.
    Units: `learning_rate` is in units of w. Without bias correction the first step is
        1 / sqrt(1 - decay) learning rates long: 3.2 for the default.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        decay: Decay of the mean square, in [0, 1).
        eps: In [0, inf); under the root in units of the squared gradient, outside in units of
            the gradient.
        initial_scale: Start of s, in [0, inf). TensorFlow has 1.
        eps_in_sqrt: Whether eps is added under the root. PyTorch adds it outside.
        centered: Whether to divide by the standard deviation instead (`scale_by_stddev`).
        momentum: Weight of the past, in [0, 1), or None.
        nesterov: Whether the momentum is Nesterov's.
        bias_correction: Whether to correct for the start of s at zero.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none. PyTorch's is an L2
            penalty, `decay_from("torch.RMSprop", number)`.

    Returns:
        The transformation: a chain of `scale_by_rms` or `scale_by_stddev`,
        `scale_by_learning_rate` and `trace`, or `identity` without momentum. Decay stands before
        the learning rate, or with momentum behind everything: it does not enter the velocity.

    Raises:
        ValueError: If an argument is outside its range, or `nesterov` is given without momentum.

    Source: Tieleman, Hinton 2012, "Lecture 6.5: RMSProp",
        https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf; centred Graves
        2013, https://arxiv.org/abs/1308.0850.
    Differs: the sources have no decay.
    """
    if momentum is None and nesterov:
        raise ValueError("rmsprop: `nesterov` must be False without `momentum`: give one.")
    root_of = scale_by_stddev if centered else scale_by_rms
    at = placed(decoupled(weight_decay), None, learning_rate, rate_is_last=momentum is None)
    return chain(
        *at.gradient,
        root_of(decay, eps, initial_scale, eps_in_sqrt, bias_correction),
        *at.direction,
        scale_by_learning_rate(learning_rate),
        identity() if momentum is None else trace(momentum, nesterov),
        *at.step,
    )


@transformation
def adadelta(
    learning_rate: LearningRate = 1.0,
    rho: Decay = 0.9,
    eps: NonNegative = 1e-6,
    weight_decay: DecayLike = 0.0,
    weight_decay_mask: Any = None,
) -> GradientTransformation:
    """Adadelta: steps in the units of the parameters, without a learning rate to choose.

    For each array, with s = x = 0 before:

        g = g + weight_decay w
        s = rho s + (1 - rho) |g|^2
        u = sqrt(x + eps) / sqrt(s + eps) g
        x = rho x + (1 - rho) |u|^2
        w = w - learning_rate u

    Shapes: s and x are shaped like w.
    Units: `learning_rate` has none; 1 is the paper's rule.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        rho: Decay of both means, in [0, 1); 0.95 in the paper.
        eps: Added under both roots, in [0, inf); it sets the size of the first steps.
        weight_decay: Weight of an L2 penalty, in [0, inf), a schedule of such, or `decay(...)`.
        weight_decay_mask: Which parameters decay: a tree of booleans, a prefix of it, or a
            function from the parameters to one; None for all.

    Returns:
        The transformation: a chain of `add_decayed_weights`, `scale_by_adadelta` and
        `scale_by_learning_rate`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Zeiler 2012, https://arxiv.org/abs/1212.5701, Algorithm 1.
    Differs: the decay and the learning rate, which the paper does not have.
    """
    at = placed(weight_decay, weight_decay_mask, learning_rate)
    return chain(
        *at.gradient,
        *at.plain,
        scale_by_adadelta(rho, eps),
        *at.direction,
        scale_by_learning_rate(learning_rate),
        *at.step,
    )
