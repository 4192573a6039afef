"""What rules that find their step size share: products of arrays, starts, the way from the start.

A step size is one number for the whole tree. So these rules measure every array and conclude from
the sums; `measure_distance` and `keep_start` belong to those that look at the distance travelled.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core.arguments import check_arguments, concrete_number
from .._core.numerics import debiasing, magnitude, root, safe_increment
from .._core.reduce import array_sum
from .._parts.decay import decaying_part
from .._parts.norms import square_norm
from ..typing import Decay


def inner(x: jax.Array, y: jax.Array) -> jax.Array:
    """The sum of x y, for complex arrays that of their real and imaginary parts."""
    if jnp.iscomplexobj(x) or jnp.iscomplexobj(y):
        return array_sum(jnp.real(x) * jnp.real(y) + jnp.imag(x) * jnp.imag(y))
    return array_sum(x * y)


def l1_norm(x: jax.Array) -> jax.Array:
    """The sum of |x|."""
    return array_sum(magnitude(x))


def keep_start(p, h):
    """The `init` of rules that remember where a parameter started, in float32 or wider."""
    return {"init_params": p}


def measure_distance(g, state, p, h):
    """The `measure` of rules with `init_params`: how far from there, and the gradient's size."""
    return {"square_norm": square_norm(g), "square_distance": square_norm(p - state.init_params)}


def adam_rate(state, h, extra):
    """The `shared` of Adam with an estimated rate d: d as it was, and the step's full rate."""
    t = safe_increment(state.count)
    rate = state.estim_lr * h.learning_rate
    if h.bias_correction:
        rate = rate * root(debiasing(h.log_b2, t)) / debiasing(h.log_b1, t)
    return {"d": state.estim_lr, "rate": rate}, state._replace(count=t)


def decaying(direction: jax.Array, p: jax.Array, start: Any, h: Any) -> jax.Array:
    """What a weight decay takes its share of, 0 for a parameter that does not decay."""
    told = getattr(h, "decays", "yes")
    if told == "none":
        raise TypeError("decay: `where` must be True or False for this parameter, but is None.")
    return decaying_part(direction, p, start, h) if told == "yes" else jnp.zeros_like(p)


def start_at(x: Any) -> np.ndarray | jax.Array:
    """A start value of a whole-tree field, as wide as hyperparameters are computed."""
    number = concrete_number(x)
    return jnp.asarray(x).astype(jnp.result_type(float)) if number is None else np.asarray(number)


def two_decays(owner: str, betas: Any) -> tuple[Any, Any]:
    """The decays b1 and b2 of a pair, each in [0, 1)."""
    if not (isinstance(betas, (tuple, list)) and len(betas) == 2):
        raise TypeError(f"{owner}: `betas` must be a pair of decays (b1, b2), but is {betas!r}.")
    names = ("betas[0]", "betas[1]")
    check_arguments(owner, dict.fromkeys(names, Decay), dict(zip(names, betas, strict=True)))
    return betas[0], betas[1]
