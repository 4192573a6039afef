"""Adam and its family: each one a chain."""

from typing import Any

from .._core.combine import chain
from .._core.transformation import GradientTransformation, transformation
from .._moments.adam import scale_by_adam
from .._moments.adamax import scale_by_adamax
from .._moments.amsgrad import scale_by_amsgrad
from .._moments.nadam import scale_by_nadam
from .._parts.decay_value import DecayLike
from .._parts.descent import descend
from .._parts.scale import scale_by_learning_rate
from ..typing import Decay, DType, LearningRate, NonNegative


@transformation
def adam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
    eps_hat: bool = False,
) -> GradientTransformation:
    """Adam: descend along a mean of the gradient over the root of a mean of its square.

    For each array, at step t = 1, 2, ..., with mu = nu = 0 before:

        mu = b1 mu + (1 - b1) g
        nu = b2 nu + (1 - b2) |g|^2
        w = w - learning_rate (mu / (1 - b1^t)) / (sqrt(nu / (1 - b2^t) + eps_root) + eps)

    Shapes: mu and nu are shaped like w: the state costs two copies of the parameters.
    Units: `learning_rate` is in units of w: about the distance an entry moves in one step.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such; the paper has 0.001.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        nesterov: Whether to use Nesterov's momentum, which makes it `nadam`.
        eps_hat: Whether to use the paper's cheaper order, whose eps is another one: see
            `scale_by_adam`.

    Returns:
        The transformation: a chain of `scale_by_adam` and `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, Algorithm 1.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov, eps_hat=eps_hat),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def adamw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: DecayLike = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = False,
    eps_hat: bool = False,
) -> GradientTransformation:
    """Adam with decoupled weight decay.

    For each array, with Adam's direction u:

        w = w - learning_rate (u + weight_decay w)

    Shapes: the state costs two copies of the parameters.
    Units: `learning_rate` is in units of w, `weight_decay` in their inverse: in each step w
        shrinks by the factor 1 - learning_rate weight_decay.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        weight_decay: Number in [0, inf), a schedule of such, or `decay(...)`. PyTorch has 0.01.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function from the
            parameters to one; None for all.
        nesterov: Whether to use Nesterov's momentum, which makes it `nadamw`.
        eps_hat: Whether to use the paper's cheaper order: see `scale_by_adam`.

    Returns:
        The transformation: a chain of `scale_by_adam`, `add_decayed_weights` and
        `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Loshchilov, Hutter 2017, https://arxiv.org/abs/1711.05101, Algorithm 2.
    Differs: the paper multiplies the decay by the schedule alone, here and in PyTorch it is
        multiplied by the whole learning rate: `weight_decay` is the paper's over the paper's
        alpha.
    """
    return descend(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov, eps_hat=eps_hat),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    )


@transformation
def nadam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
    momentum_decay: NonNegative | None = None,
    one_correction: bool = False,
) -> GradientTransformation:
    """Adam with Nesterov's momentum.

    As `adam`, with another numerator (see `scale_by_nadam` for all three):

        b1 mu / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)

    Shapes: the state costs two copies of the parameters.
    Units: `learning_rate` is in units of w.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        nesterov: Whether to use Nesterov's momentum; without it the optimizer is `adam`.
        momentum_decay: Speed of Dozat's momentum schedule, in [0, inf): 0.004 in the paper and
            PyTorch, 1 in Keras. None for a constant momentum.
        one_correction: Whether the numerator is (b1 mu + (1 - b1) g) / (1 - b1^t). Only without
            a schedule.

    Returns:
        The transformation: a chain of `scale_by_nadam` and `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range, or two of `one_correction`,
            `momentum_decay` and `nesterov=False` are given.

    Source: Dozat 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.
    Differs: without `momentum_decay` the momentum is constant.
    """
    return chain(
        scale_by_nadam(
            b1,
            b2,
            eps,
            eps_root,
            mu_dtype,
            nesterov=nesterov,
            momentum_decay=momentum_decay,
            one_correction=one_correction,
        ),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def nadamw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: DecayLike = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = True,
    momentum_decay: NonNegative | None = None,
    one_correction: bool = False,
) -> GradientTransformation:
    """Adam with Nesterov's momentum and decoupled weight decay.

    For each array, with Nadam's direction u (see `scale_by_nadam`):

        w = w - learning_rate (u + weight_decay w)

    Shapes: the state costs two copies of the parameters.
    Units: `learning_rate` is in units of w, `weight_decay` in their inverse.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        weight_decay: Number in [0, inf), a schedule of such, or `decay(...)`.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function from the
            parameters to one; None for all.
        nesterov: Whether to use Nesterov's momentum; without it the optimizer is `adamw`.
        momentum_decay: Speed of Dozat's momentum schedule, in [0, inf); None for a constant
            momentum.
        one_correction: Whether the numerator is (b1 mu + (1 - b1) g) / (1 - b1^t). Only without
            a schedule.

    Returns:
        The transformation: a chain of `scale_by_nadam`, `add_decayed_weights` and
        `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range, or two of `one_correction`,
            `momentum_decay` and `nesterov=False` are given.

    Source: Dozat 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ; Loshchilov, Hutter
        2017, https://arxiv.org/abs/1711.05101, for the decay.
    Differs: without `momentum_decay` the momentum is constant; the decay is multiplied by the
        whole learning rate.
    """
    return descend(
        scale_by_nadam(
            b1,
            b2,
            eps,
            eps_root,
            mu_dtype,
            nesterov=nesterov,
            momentum_decay=momentum_decay,
            one_correction=one_correction,
        ),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    )


@transformation
def amsgrad(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    bias_correction_mu: bool = False,
    bias_correction_nu: bool = False,
) -> GradientTransformation:
    """AMSGrad: Adam over the largest second moment so far.

    For each array, with mu, nu and nu_max of `scale_by_amsgrad`:

        w = w - learning_rate mu / (sqrt(nu_max + eps_root) + eps)

    Nothing corrects the start at zero: the first step has the size of 3.2 learning rates for the
    default decays. With both corrections it is PyTorch's AMSGrad.

    Shapes: the state costs three copies of the parameters.
    Units: `learning_rate` is in units of w.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        bias_correction_mu: Whether to correct mu for its start at zero.
        bias_correction_nu: Whether to correct nu_max, after the maximum, for that of nu.

    Returns:
        The transformation: a chain of `scale_by_amsgrad` and `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Reddi, Kale, Kumar 2018, https://arxiv.org/abs/1904.09237, Algorithm 2.
    """
    return chain(
        scale_by_amsgrad(b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def adamax(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 0.0,
) -> GradientTransformation:
    """Adam with the infinity norm in the place of the root mean square.

    For each array, at step t = 1, 2, ..., with mu and nu of `scale_by_adamax`:

        w = w - learning_rate / (1 - b1^t) mu / nu

    Shapes: the state costs two copies of the parameters.
    Units: `learning_rate` is in units of w: about the most an entry moves in one step.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such; the paper has 0.002.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the maximum, in [0, 1).
        eps: Added to the magnitude of every gradient, in [0, inf), in units of the gradient.

    Returns:
        The transformation: a chain of `scale_by_adamax` and `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, Algorithm 2.
    """
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))


@transformation
def adamaxw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 0.0,
    weight_decay: DecayLike = 1e-4,
    mask: Any = None,
) -> GradientTransformation:
    """Adamax with decoupled weight decay.

    For each array, with Adamax's direction u (see `scale_by_adamax`):

        w = w - learning_rate (u + weight_decay w)

    Shapes: the state costs two copies of the parameters.
    Units: `learning_rate` is in units of w, `weight_decay` in their inverse.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the maximum, in [0, 1).
        eps: Added to the magnitude of every gradient, in [0, inf), in units of the gradient.
        weight_decay: Number in [0, inf), a schedule of such, or `decay(...)`.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function from the
            parameters to one; None for all.

    Returns:
        The transformation: a chain of `scale_by_adamax`, `add_decayed_weights` and
        `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, Algorithm 2; Loshchilov, Hutter 2017,
        https://arxiv.org/abs/1711.05101, for the decay.
    Differs: the decay is multiplied by the whole learning rate.
    """
    return descend(
        scale_by_adamax(b1, b2, eps),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    )
