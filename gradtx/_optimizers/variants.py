"""Kin of Adam: other denominators, rectified or extrapolated."""

from typing import Any

from .._core.transformation import GradientTransformation, transformation
from .._moments.adan import scale_by_adan
from .._moments.belief import scale_by_belief
from .._moments.radam import scale_by_radam
from .._moments.yogi import scale_by_yogi
from .._parts.decay_value import DecayLike
from .._parts.descent import descend
from ..typing import Decay, LearningRate, NonNegative, Real


@transformation
def adabelief(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    eps_root: NonNegative = 1e-16,
    *,
    nesterov: bool = False,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """AdaBelief: short steps where the gradient is not what its mean foresaw.

    The chain of `scale_by_belief`, `add_decayed_weights` if it decays, and
    `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square of the deviation, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added to the mean square at every step, in [0, inf).
        nesterov: Whether to use Nesterov's momentum.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none.

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Zhuang et al. 2020, https://arxiv.org/abs/2010.07468, Algorithm 2.
    """
    return descend(
        scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )


@transformation
def yogi(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-3,
    *,
    bias_correction: bool = False,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """Yogi: Adam whose effective rate cannot rise fast when gradients become small.

    The chain of `scale_by_yogi`, `add_decayed_weights` if it decays, and
    `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such; the paper suggests 0.01.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        bias_correction: Whether to divide both moments by the weight they have gathered, as
            Optax does. Without it the first steps are up to 3.2 times as long.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none.

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Zaheer, Reddi, Sachan, Kale, Kumar 2018, Algorithm 2,
        https://papers.nips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html.
    Differs: from Optax, which corrects both moments and moves parameters without gradients.
    """
    return descend(
        scale_by_yogi(b1, b2, eps, bias_correction=bias_correction),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )


@transformation
def radam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    threshold: Real = 5.0,
    *,
    nesterov: bool = False,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """RAdam: Adam with a warm-up that follows from the variance of its mean square.

    The chain of `scale_by_radam`, `add_decayed_weights` if it decays, and
    `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such. The first steps (5 of them for
            b2 = 0.999) are those of momentum, with this rate.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        threshold: Smallest length of the mean square's memory at which it is used, a number.
        nesterov: Whether to use Nesterov's momentum.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none. It is PyTorch's with `decoupled_weight_decay`;
            without that PyTorch's is an L2 penalty, `decay_from("torch.RAdam", number)`.

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Liu et al. 2019, https://arxiv.org/abs/1908.03265, Algorithm 2.
    Differs: the paper's threshold is 4; 5 is that of its authors' code, Optax and PyTorch.
    """
    return descend(
        scale_by_radam(b1, b2, eps, eps_root, threshold, nesterov=nesterov),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )


@transformation
def adan(
    learning_rate: LearningRate,
    b1: Decay = 0.98,
    b2: Decay = 0.92,
    b3: Decay = 0.99,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 1e-8,
    weight_decay: DecayLike = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """Adan: adaptive Nesterov momentum, from the mean change of the gradient.

    The chain of `scale_by_adan`, `add_decayed_weights` and `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the mean gradient, in [0, 1); 1 minus the paper's beta_1.
        b2: Decay of its mean change, in [0, 1); 1 minus the paper's beta_2.
        b3: Decay of the mean square, in [0, 1); 1 minus the paper's beta_3.
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule; or
            `decay(...)`.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function of the
            parameters to one; None for all.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Xie, Zhou, Li, Lin, Yan 2022, https://arxiv.org/abs/2208.06677, Algorithm 1.
    Differs: weight decay is added to the update, as in Optax; the paper divides the new
        parameters by 1 + weight_decay learning_rate, equal to first order. The paper has no
        eps_root. Unlike Optax's, the change is weighed by b2, as the paper says, not by 1 - b2.
    """
    return descend(
        scale_by_adan(b1, b2, b3, eps, eps_root),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    )
