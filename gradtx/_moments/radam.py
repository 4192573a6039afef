"""RAdam: Adam that waits until its mean square can be trusted, then corrects for its variance."""

import jax
import jax.numpy as jnp

from .._core.numerics import divide, root
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Decay, NonNegative, Real
from .adam import ScaleByAdamState
from .pair import average_moments, corrected_mean, next_biases


def _next_rectification(state, h, extra):
    biases, state = next_biases(state, h, extra)
    t = state.count.astype(h.b2.dtype)
    longest = (1 + h.b2) / h.one_minus_b2
    length = _effective_length(h.log_b2, t)
    rectified = (length >= h.threshold) & (length > 4)
    length, longest = jnp.where(rectified, length, 5), jnp.where(rectified, longest, 5)
    ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return biases | {"rectified": rectified, "rectification": root(ratio)}, state


def _effective_length(log_b2: jax.Array, t: jax.Array) -> jax.Array:
    """rho_t = rho_inf - 2 t b2^t / (1 - b2^t), without the cancellation of these two.

    With x = -t log(b2) / 2 and m(x) = 1 + 1/x - coth(x) it is 1 - m(-log(b2) / 2) + t m(x). For
    b2 = 0.999 the two terms of the definition are near 2000 when their difference is near 4.
    """
    x = -log_b2 / 2
    return 1 - _one_minus_langevin(x) + t * _one_minus_langevin(t * x)


def _one_minus_langevin(x: jax.Array) -> jax.Array:
    """1 + 1/x - coth(x) for x > 0, with its series near 0."""
    small = x < 0.25
    s, w = jnp.where(small, x, 0), jnp.where(small, 1, x)
    s2 = s * s
    series = s2 / 93555 * 2 - 1 / 4725
    series = 1 - s * (1 / 3 - s2 * (1 / 45 - s2 * (2 / 945 + s2 * series)))
    return jnp.where(small, series, 1 / w - 2 / jnp.expm1(2 * w))


def _radam_direction(g, state, p, h):
    mean = corrected_mean(g, state.mu, h)
    adaptive = divide(mean, root(state.nu / h.nu_bias + h.eps_root) + h.eps)
    return jnp.where(h.rectified > 0, h.rectification * adaptive, mean), state


_RADAM = Rule(
    _radam_direction,
    state=ScaleByAdamState,
    shared=_next_rectification,
    accumulate=average_moments,
)


@transformation
def scale_by_radam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    threshold: Real = 5.0,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam with a warm-up that follows from the variance of its mean square.

    For each array g, at step t = 1, 2, ..., with mu = nu = 0 before:

        mu = b1 mu + (1 - b1) g
        nu = b2 nu + (1 - b2) |g|^2
        m = mu / (1 - b1^t)
        rho_inf = 2 / (1 - b2) - 1
        rho = rho_inf - 2 t b2^t / (1 - b2^t)
        r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))
        u = r m / (sqrt(nu / (1 - b2^t) + eps_root) + eps)    if rho >= threshold and rho > 4
        u = m                                                 otherwise

    and with `nesterov` m = b1 mu / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t).

    Shapes: mu and nu are shaped like g: the state costs two copies of the parameters.
    Units: u has none once rho has reached the threshold (at step 6 for b2 = 0.999); before, it is
        in units of the gradient: the first steps are those of momentum, with the full rate.

    Args:
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1). At 0.6 and below rho never exceeds 4.
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        threshold: Smallest rho at which the mean square is used, a number.
        nesterov: Whether to use Nesterov's momentum.

    Returns:
        The transformation, with a `ScaleByAdamState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Liu et al. 2019, https://arxiv.org/abs/1908.03265, Algorithm 2.
    Differs: the paper's threshold is rho > 4; 5 is that of its authors' code, Optax and PyTorch.
        rho is computed in a form that keeps its digits in float32.
    """
    return lift(
        _RADAM,
        b1=as_decay(b1),
        b2=as_decay(b2),
        eps=eps,
        eps_root=eps_root,
        threshold=threshold,
        static={"nesterov": nesterov},
    )
