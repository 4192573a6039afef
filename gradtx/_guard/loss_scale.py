"""Loss scaling: keep the gradients of a loss in float16 from vanishing."""

import dataclasses
import functools
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from .._core.arguments import Interval, concrete_number
from .._core.body import start
from .._core.flow import Flow
from .._core.fuse import cleared_with_caches
from .._core.lifted import Lifted
from .._core.numerics import safe_increment
from .._core.outside import changed_before
from .._core.rule import Rule
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import as_abstract_as, check_state, first_count
from ..typing import InnerState, Positive, PositiveInt, Scalar, Tally
from . import judge


class LossScaleState(NamedTuple):
    """The scale, the steps since it last changed, counts, and inner's state.

    Attributes:
        count: Steps seen.
        scale: The factor of the loss.
        good_steps: Finite steps in a row at this scale.
        streak: Skipped steps in a row up to now.
        nonfinite: Steps whose gradients were not finite.
        stopped: Whether it has raised, or would have; nothing moves any more.
        bad_leaves: The first few leaves that were not finite at the last step, if it was skipped.
        inner_state: State of the wrapped transformation.
    """

    count: Tally
    scale: Scalar
    good_steps: Scalar
    streak: Scalar
    nonfinite: Scalar
    stopped: Scalar
    bad_leaves: Scalar
    inner_state: InnerState

    OWNER = "loss_scaling"


class _Plan(NamedTuple):
    """What the computation of a verdict is known by."""

    period: int
    give_up_after: int | None
    which: tuple[int, ...]


@dataclasses.dataclass(eq=False)
class LossScaling(judge.Guarding):
    """A transformation of gradients of a scaled loss.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        initial: The first scale.
        numbers: (factor, least scale, largest scale).
        period: After how many finite steps the scale rises.
        give_up_after: At how many skipped steps in a row to stop, or None.
        callback: Whether to stop a compiled program by a callback.
    """

    reports: ClassVar[tuple[str, ...]] = ("loss_scale", "skipped_nonfinite", "streak")
    unscales: ClassVar[bool] = True
    initial: Any
    numbers: tuple[Any, Any, Any]
    period: int
    give_up_after: int | None
    callback: bool

    def init(self, flow: Flow) -> Any:
        flow.report("loss_scale", self.initial)
        return LossScaleState(
            count=first_count(flow),
            scale=as_abstract_as(flow, jnp.array(self.initial, jnp.float32)),
            good_steps=first_count(flow),
            streak=first_count(flow),
            nonfinite=first_count(flow),
            stopped=as_abstract_as(flow, jnp.array(False)),
            bad_leaves=as_abstract_as(flow, judge.no_leaves()),
            inner_state=start(self.inner.update.body, changed_before(flow)),
        )

    def judged(self, flow: Flow, state: Any) -> judge.Verdict:
        state = check_state(self.name, LossScaleState, state)
        own = state._replace(inner_state=None)
        plan = _Plan(self.period, self.give_up_after, judge.places(flow))
        bad = judge.not_finite(flow)
        accepted, new, said = _verdict(own, bad, self.numbers, plan=plan)
        if self.give_up_after is not None:
            judge.stop_if_told(self.name, flow, new, self.callback)
        for name, number in said.items():
            flow.report(name, number)
        unscale = Lifted(self.name, _UNSCALE, {"scale": state.scale}, {}, {})
        return judge.Verdict(accepted, new._replace(inner_state=state.inner_state), unscale)


def _inverse(state, h, extra):
    return {"inverse": 1.0 / h.scale}, state


def _unscaled(g, state, p, h):
    return g * h.inverse, state  # XLA stores a quotient, but repeats a product where it is read


_UNSCALE = Rule(_unscaled, shared=_inverse)


@functools.partial(jax.jit, static_argnames=("plan",))
def _verdict(
    old: LossScaleState, bad: jax.Array, numbers: tuple, *, plan: _Plan
) -> tuple[jax.Array, LossScaleState, dict]:
    """(whether to take the step, the new state, what to report)."""
    factor, least, most = (jnp.asarray(x, jnp.float32) for x in numbers)
    broken = jnp.any(bad)
    good = old.good_steps + 1
    rises = good >= plan.period
    higher = jnp.where(rises, jnp.minimum(old.scale * factor, most), old.scale)
    streak = jnp.where(broken, safe_increment(old.streak), 0)
    stopped = old.stopped
    if plan.give_up_after is not None:
        stopped |= streak >= plan.give_up_after
    new = LossScaleState(
        count=safe_increment(old.count),
        scale=jnp.where(broken, jnp.maximum(old.scale / factor, least), higher),
        good_steps=jnp.where(broken | rises, 0, good),
        streak=streak,
        nonfinite=jnp.where(broken, safe_increment(old.nonfinite), old.nonfinite),
        stopped=stopped,
        bad_leaves=judge.first_leaves(bad, plan.which),
        inner_state=None,
    )
    new = judge.unless_stopped(old, new)
    said = {
        "loss_scale": old.scale,
        "skipped_nonfinite": new.nonfinite,
        "streak": new.streak,
    }
    return ~broken & ~stopped, new, said


cleared_with_caches(_verdict.clear_cache)  # pyright: ignore[reportAttributeAccessIssue]


@transformation
def loss_scaling(
    inner: Any,
    initial: Positive = 2.0**15,
    factor: Annotated[float, Interval(1.0, open_low=True)] = 2.0,
    period: PositiveInt = 2000,
    minimum: Positive = 1.0,
    maximum: Positive = 2.0**24,
    give_up_after: Annotated[int, Interval(1, integer=True)] | None = None,
    callback: bool = True,
) -> GradientTransformation:
    """Train on gradients of a loss times a scale that adapts, so that none vanish in float16.

    Multiply the loss by S = `loss_scale(state)` and differentiate. Then

        u = inner(g / S), S = min(S factor, maximum) after `period` such steps   if g is finite
        u = 0, inner's state as it is, S = max(S / factor, minimum)              if not

    The quotient is taken in float32 or wider, and is exact as long as S is a power of two, as it is
    unless other numbers are given. What stands inside, such as `clip_by_global_norm`, sees g / S.
    `step` does not touch the parameters of a step that is skipped.

    A `guard`, for spikes say, stands inside: around, it would keep from it the gradients that are
    not finite, which is what the scale goes by.

    Around `MultiSteps` each micro-batch is divided by the scale of its own, and a bad one does not
    enter the accumulator. Inside, the scale changes only with a step, and one bad micro-batch costs
    it. Both are right; the first loses less.

    Shapes: any.
    Units: those of inner. The scale has none.

    Args:
        inner: The transformation.
        initial: The first scale, from `minimum` to `maximum`.
        factor: By what the scale rises and falls, above 1.
        period: After how many finite steps in a row it rises, at least 1.
        minimum: Least scale, above 0.
        maximum: Largest scale.
        give_up_after: At which skipped step in a row to raise FloatingPointError, at least 1; None
            for never. From 2^15 to 1 there are 15 steps that are no fault.
        callback: Whether a compiled program raises by itself, or `check_guards(state)` does: as for
            `guard`.

    Returns:
        The transformation, with a `LossScaleState`. `with_metrics` can ask it for
        "loss_scale", "skipped_nonfinite" and "streak".

    Raises:
        TypeError: If `inner` is no transformation.
        ValueError: If an argument is outside its range; in a chain, if a clip stands before it.
        FloatingPointError: On update, as said above.

    Source: Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740, section 3.2.
    """
    scales = {"initial": initial, "factor": factor, "minimum": minimum, "maximum": maximum}
    known = {name: concrete_number(x) for name, x in scales.items()}
    first, least, most = known["initial"], known["minimum"], known["maximum"]
    if None not in (first, least, most) and not least <= first <= most:  # type: ignore[operator]
        raise ValueError(
            f"loss_scaling: `initial` must be from `minimum`, {least:g}, to `maximum`, {most:g}, "
            f"but is {first:g}."
        )
    child = as_transformation(inner, "loss_scaling")
    limit = None if give_up_after is None else int(give_up_after)
    numbers = (factor, minimum, maximum)
    return from_body(
        LossScaling("loss_scaling", child, initial, numbers, int(period), limit, bool(callback))
    )


def loss_scale(state: Any) -> jax.Array:
    """The factor by which to multiply the loss, for `loss_scaling`.

    Take the loss in float32 first: times 2^15 it would be inf in float16.

    Args:
        state: State of a transformation with one `loss_scaling` anywhere in it.

    Returns:
        The scale, a float32 scalar.

    Raises:
        ValueError: If there is none in it, or more than one.
    """
    found = list(_scales(state))
    if len(found) != 1:
        raise ValueError(
            "loss_scale: the state must have one `loss_scaling` in it, but has "
            f"{len(found) or 'none'}."
        )
    return found[0]


def _scales(tree: Any) -> Any:
    for leaf in jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, LossScaleState)):
        if isinstance(leaf, LossScaleState):
            yield leaf.scale
            yield from _scales(leaf.inner_state)
