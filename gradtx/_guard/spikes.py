"""The rule for what is a spike: far above the last accepted values."""

import dataclasses
from typing import Annotated, Any

import jax.numpy as jnp

from .._core.arguments import Interval
from .._core.constructor import F, described
from .._core.described import Described
from .._core.leaves import describe_leaf
from ..typing import NonNegative, Positive, PositiveInt

WATCHED = ("loss", "grad_norm")


@dataclasses.dataclass(eq=False, repr=False)
class SpikeRule(Described):
    """What `spikes` returns: when a step is a spike.

    Attributes:
        window: How many accepted values are looked back on.
        sigma: How many standard deviations above their mean a spike is.
        of: What is watched.
        after: How many accepted values there must be.
        floor: The least standard deviation, in units of the mean.
        description: The call that made it.
    """

    belongs = "It is a value for guard(..., spikes=...)."
    window: int
    sigma: Any
    of: tuple[str, ...]
    after: int
    floor: Any
    description: Any = None

    @property
    def key(self) -> tuple[int, int, tuple[str, ...]]:
        """What its computation is known by: (window, after, of)."""
        return self.window, self.after, self.of

    def start(self) -> dict[str, Any]:
        """The windows before the first step."""
        return {name: jnp.zeros(self.window, jnp.float32) for name in self.of}


def _described_rule(function: F) -> F:
    """Have the rules that a constructor returns print, compare and pickle by the call."""
    return described(function, lambda made_by, rule: dataclasses.replace(rule, description=made_by))


@_described_rule
def spikes(
    window: Annotated[int, Interval(2, integer=True)] = 128,
    sigma: Positive = 6.0,
    of: str | tuple[str, ...] = WATCHED,
    after: PositiveInt | None = None,
    floor: NonNegative = 2e-3,
) -> Any:
    """The rule by which `guard` knows a spike of the loss or of the gradient.

    For each x that is watched, with the mean and the standard deviation s (that of a sample, over
    n - 1) of its last n values in steps that were accepted, at most `window` of them, a step is a
    spike if

        x > mean + sigma max(s, floor |mean|)

    for one of them, as soon as n >= after; at any step if x is inf or nan. After `window` bad steps
    in a row the level has changed, as with other data: such a step is then taken, and the window
    starts anew with it.

    Shapes: every x is one number.
    Units: none.

    Args:
        window: How many values are looked back on, at least 2.
        sigma: How far above the mean a spike is, in (0, inf).
        of: "loss", which is the extra argument `value` of `update`; "grad_norm", the norm over all
            arrays of the gradients in float32; or both.
        after: From how many values on to judge, at least 2 and at most `window`; None for half of
            the window.
        floor: Least standard deviation in units of the mean, so that a value that hardly moves has
            no spikes, in [0, inf).

    Returns:
        The rule, for the argument `spikes` of `guard`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: the rule of OLMo 2, https://arxiv.org/abs/2501.00656, as its training code has it.
    Differs: there all values enter the window, those of spikes too, and there is no floor.
    """
    watched = (of,) if isinstance(of, str) else tuple(of)
    unknown = [name for name in watched if name not in WATCHED]
    if unknown or not watched or len(set(watched)) != len(watched):
        raise ValueError(
            f'spikes: `of` must be "loss", "grad_norm" or both, but is {of!r}. The loss is given '
            "as the extra argument `value`."
        )
    first = max(2, int(window) // 2) if after is None else int(after)
    if not 2 <= first <= window:
        raise ValueError(
            f"spikes: `after` must be from 2 to `window`, {window}, but is {first}: a standard "
            "deviation takes two values."
        )
    return SpikeRule(int(window), sigma, watched, first, floor)


def is_spike(x: Any, window: Any, filled: Any, sigma: Any, floor: Any) -> Any:
    """Whether x is far above the values of a window.

    Args:
        x: The value.
        window: The last accepted values, the newest first.
        filled: How many of them there are, at least 2 where the answer is used.
        sigma: How many standard deviations are far.
        floor: The least standard deviation in units of the mean.
    """
    held = jnp.arange(window.shape[0], dtype=jnp.int32) < filled
    n = jnp.maximum(filled, 2).astype(window.dtype)
    mean = jnp.sum(jnp.where(held, window, 0)) / n
    variance = jnp.sum(jnp.where(held, jnp.square(window - mean), 0)) / (n - 1)
    least = floor * jnp.abs(mean)
    return x > mean + sigma * jnp.maximum(jnp.sqrt(variance), least)


def given_loss(owner: str, flow: Any) -> Any:
    """The loss that `update` was given, in float32."""
    flow.need(owner, "value", why='It is the loss; spikes(of="grad_norm") goes without it.')
    value = flow.needed_extra(owner, "value")
    if value.shape or jnp.iscomplexobj(value):
        raise TypeError(
            f"{owner}: `value` must be the loss, one real number, but is {describe_leaf(value)}."
        )
    return value.astype(jnp.float32)
