"""Adam: a bias-corrected mean of the gradient over the root of one of its square."""

from typing import NamedTuple

from .._core.numerics import divide, root
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, DType, NonNegative, PerParam, PerParamReal
from .pair import average_moments, corrected_mean, next_biases


class ScaleByAdamState(NamedTuple):
    """Step count, mean of the gradient, mean of its square."""

    count: Count
    mu: PerParam
    nu: PerParamReal


def _adam_direction(g, state, p, h):
    mean = corrected_mean(g, state.mu, h)
    if h.eps_hat:
        mean = mean * root(h.nu_bias)
        return divide(mean, root(state.nu + h.eps_root) + h.eps), state
    return divide(mean, root(state.nu / h.nu_bias + h.eps_root) + h.eps), state


_ADAM = Rule(
    _adam_direction, state=ScaleByAdamState, shared=next_biases, accumulate=average_moments
)


@transformation
def scale_by_adam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
    eps_hat: bool = False,
) -> GradientTransformation:
    """Divide a mean of the gradient by the root of a mean of its square.

    For each array g, at step t = 1, 2, ..., with mu = nu = 0 before:

        mu = b1 mu + (1 - b1) g
        nu = b2 nu + (1 - b2) |g|^2
        u = (mu / (1 - b1^t)) / (sqrt(nu / (1 - b2^t) + eps_root) + eps)

    and with `nesterov` the numerator b1 mu / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t). With
    `eps_hat` it is the paper's cheaper order, whose epsilon is another one (eps here becomes
    eps / sqrt(1 - b2^t) there, 32 times as much at first for b2 = 0.999):

        u = sqrt(1 - b2^t) / (1 - b1^t) mu / (sqrt(nu + eps_root) + eps)

    Shapes: mu and nu are shaped like g: the state costs two copies of the parameters.
    Units: u has none, so the learning rate is the distance a parameter moves in one step.

    Args:
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        nesterov: Whether to use Nesterov's momentum (Dozat 2016, without its schedule).
        eps_hat: Whether eps is added to the uncorrected root (end of section 2 of the paper).

    Returns:
        The transformation, with a `ScaleByAdamState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, Algorithm 1.
    Differs: where mu and nu are 0, u is 0, also if eps is 0.
    """
    return lift(
        _ADAM,
        b1=as_decay(b1),
        b2=as_decay(b2),
        eps=eps,
        eps_root=eps_root,
        static={"nesterov": nesterov, "eps_hat": eps_hat},
        dtypes={"mu": mu_dtype},
    )
