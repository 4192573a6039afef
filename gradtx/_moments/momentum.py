"""Momentum: heavy ball, its averaging form, and Nesterov's form for the gradient at hand."""

from typing import NamedTuple

from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Decay, DType, PerParam
from .moments import velocity


class TraceState(NamedTuple):
    """The velocity."""

    trace: PerParam


def _weight(h):
    return h.one_minus_decay if h.averaging else 1.0


def _gather(g, state, p, h):
    return state._replace(trace=velocity(state.trace, g, h.decay, _weight(h)))


def _velocity_or_ahead(g, state, p, h):
    if h.nesterov:
        return velocity(state.trace, g, h.decay, _weight(h)), state
    return state.trace, state


_MOMENTUM = Rule(_velocity_or_ahead, state=TraceState, accumulate=_gather)


@transformation
def trace(
    decay: Decay, nesterov: bool = False, accumulator_dtype: DType | None = None
) -> GradientTransformation:
    """Add up the updates with decaying weights: the heavy ball.

    For each array g, with v = 0 before:

        v = decay v + g
        u = v                 or, with `nesterov`, g + decay v

    For a constant g, u tends to g / (1 - decay): the effective learning rate is
    learning_rate / (1 - decay). The place in the chain decides where the rate acts:
    `chain(trace(m), scale_by_learning_rate(lr))` scales the velocity, and
    `chain(scale_by_learning_rate(lr), trace(m))` has the rate inside the velocity, as
    Sutskever et al. and Keras do. They differ only when the rate changes.

    With `nesterov` the gradient is taken at the current parameters, which stand for the point
    that the classical form looks ahead to: see `nesterov_lookahead` for that form.

    Shapes: v is shaped like g.
    Units: u is in units of g.

    Args:
        decay: Weight of the past, in [0, 1).
        nesterov: Whether to use Nesterov's form.
        accumulator_dtype: Dtype in which v is stored; None for float32 or wider.

    Returns:
        The transformation, with a `TraceState`.

    Raises:
        ValueError: If `decay` is outside [0, 1).

    Source: Polyak 1964, https://doi.org/10.1016/0041-5553(64)90137-5; with `nesterov`
        Sutskever, Martens, Dahl, Hinton 2013, https://proceedings.mlr.press/v28/sutskever13.html,
        rewritten for the gradient at the current parameters.
    """
    return _momentum(decay, False, nesterov, accumulator_dtype)


@transformation
def scale_by_momentum(
    decay: Decay = 0.9,
    *,
    form: str = "heavy ball",
    nesterov: bool = False,
    accumulator_dtype: DType | None = None,
) -> GradientTransformation:
    """Follow a velocity instead of the gradient, in one of its usual forms.

    For each array g, with v = 0 before and c = 1 (form "heavy ball") or 1 - decay (form "ema"):

        v = decay v + c g
        u = v                 or, with `nesterov`, decay v + c g once more

    The forms differ by the constant factor 1 - decay, so by the size of the learning rate that
    suits them. "heavy ball" is `trace(decay, nesterov)`, "ema" without `nesterov` is
    `ema(decay, debias=False)`.

    Shapes: v is shaped like g.
    Units: u is in units of g.

    Args:
        decay: Weight of the past, in [0, 1).
        form: "heavy ball" for a sum, "ema" for an average.
        nesterov: Whether to use Nesterov's form for the gradient at the current parameters.
        accumulator_dtype: Dtype in which v is stored; None for float32 or wider.

    Returns:
        The transformation, with a `TraceState`.

    Raises:
        ValueError: If `decay` is outside [0, 1) or `form` is none of the two.

    Source: Polyak 1964, https://doi.org/10.1016/0041-5553(64)90137-5; Sutskever, Martens, Dahl,
        Hinton 2013, https://proceedings.mlr.press/v28/sutskever13.html.
    """
    if form not in ("heavy ball", "ema"):
        raise ValueError(
            f"scale_by_momentum: `form` must be 'heavy ball' or 'ema', but is {form!r}. "
            "Nesterov's is nesterov=True."
        )
    return _momentum(decay, form == "ema", nesterov, accumulator_dtype)


def _momentum(decay, averaging, nesterov, accumulator_dtype):
    return lift(
        _MOMENTUM,
        decay=as_decay(decay),
        static={"averaging": averaging, "nesterov": nesterov},
        dtypes={"trace": accumulator_dtype},
    )
