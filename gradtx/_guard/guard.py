"""One wrapper for gradients that are not finite and for spikes."""

import dataclasses
import difflib
import functools
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .._core.arguments import Interval
from .._core.body import Body, start
from .._core.flow import Flow
from .._core.fuse import cleared_with_caches
from .._core.leaves import is_traced
from .._core.numerics import abs2, root, safe_increment, widened
from .._core.outside import changed_before
from .._core.scaled import refuse_unscaling
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import as_abstract_as, check_state, first_count
from ..typing import InnerState, Scalar, Scalars, Tally
from . import judge
from .spikes import SpikeRule, given_loss, is_spike

POLICIES = ("skip", "zero_leaf", "raise")


class GuardState(NamedTuple):
    """Counts of steps by what became of them, the last accepted values, and inner's state.

    Attributes:
        count: Steps seen.
        streak: Bad steps in a row up to now: skipped, or with leaves set to zero.
        nonfinite: Steps whose gradients were not finite.
        spikes: Steps that were skipped as spikes.
        stopped: Whether the guard has raised, or would have; nothing moves any more.
        bad_leaves: The first few leaves that were not finite at the last such step of the streak,
            by their place among the leaves of the parameters; -1 for none.
        filled: How many values the windows hold.
        windows: {what is watched: its last accepted values, the newest first}.
        inner_state: State of the wrapped transformation.
    """

    count: Tally
    streak: Scalar
    nonfinite: Scalar
    spikes: Scalar
    stopped: Scalar
    bad_leaves: Scalar
    filled: Scalar
    windows: Scalars
    inner_state: InnerState

    OWNER = "guard"


class _Plan(NamedTuple):
    """What the computation of a verdict is known by."""

    policy: str
    give_up_after: int | None
    window: int
    after: int
    which: tuple[int, ...]


@dataclasses.dataclass(eq=False)
class _Guard(judge.Guarding):
    """A transformation that is spared bad steps.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        policy: What to do with gradients that are not finite.
        spikes: What a spike is, or None.
        give_up_after: At how many bad steps in a row to stop, or None.
        callback: Whether to stop a compiled program by a callback.
    """

    reports: ClassVar[tuple[str, ...]] = ("skipped_nonfinite", "skipped_spikes", "streak")
    policy: str
    spikes: SpikeRule | None
    give_up_after: int | None
    callback: bool

    @property
    def needs(self) -> tuple[str, ...]:
        return ("value",) if self.spikes and "loss" in self.spikes.of else ()

    def init(self, flow: Flow) -> Any:
        inside = changed_before(flow) if self.policy == "zero_leaf" else flow
        return GuardState(
            *(first_count(flow) for _ in range(4)),
            stopped=as_abstract_as(flow, jnp.array(False)),
            bad_leaves=as_abstract_as(flow, judge.no_leaves()),
            filled=first_count(flow),
            windows=as_abstract_as(flow, self.spikes.start() if self.spikes else {}),
            inner_state=start(self.inner.update.body, inside),
        )

    def judged(self, flow: Flow, state: Any) -> judge.Verdict:
        state = check_state(self.name, GuardState, state)
        watched = self.spikes.of if self.spikes else ()
        values = {}
        if "loss" in watched:
            values["loss"] = given_loss(self.name, flow)
        if "grad_norm" in watched:
            bad, values["grad_norm"] = _norm_of_finite(flow)
        else:
            bad = judge.not_finite(flow)
        own = state._replace(inner_state=None)
        rule = self.spikes or _NO_SPIKES
        plan = _Plan(self.policy, self.give_up_after, rule.window, rule.after, judge.places(flow))
        accepted, new, said = _verdict(own, bad, values, rule.sigma, rule.floor, plan=plan)
        if self.policy == "raise" or self.give_up_after is not None:
            judge.stop_if_told(self.name, flow, new, self.callback)
        for name, number in said.items():
            flow.report(name, number)
        new = new._replace(inner_state=state.inner_state)
        if self.policy != "zero_leaf":
            return judge.Verdict(accepted, new)
        if self.spikes is None and self.give_up_after is None:
            accepted = True  # and nothing has to be left as it is
        return judge.Verdict(accepted, new, _WithoutBad(self.name, bad))


_NO_SPIKES = SpikeRule(2, 0.0, (), 2, 0.0)


def _norm_of_finite(flow: Flow) -> tuple[jax.Array, jax.Array]:
    """(for each array whether it is not finite, the norm over those that are)."""
    squares = judge.measured(flow, _square_norm)
    # A norm that is finite has only finite terms: one read of the gradients tells both.
    well = jnp.all(jnp.isfinite(squares))

    def none() -> jax.Array:
        return jnp.zeros_like(squares, dtype=bool)

    if is_traced(well):
        bad = lax.cond(well, none, lambda: judge.not_finite(flow))
    else:
        bad = none() if well else judge.not_finite(flow)
    return bad, root(jnp.sum(jnp.where(bad, 0, squares)))


@functools.partial(jax.jit, inline=True)
def _square_norm(g: jax.Array) -> jax.Array:
    return jnp.sum(abs2(widened(g)))


@dataclasses.dataclass(eq=False)
class _WithoutBad(Body):
    """Sets to zero the leaves that are not finite.

    Attributes:
        name: The constructor's name.
        bad: For each array of the updates whether it is not finite, as one vector.
    """

    name: str
    bad: jax.Array
    any_shape: ClassVar[bool] = True

    def update(self, flow: Flow, state: Any) -> Any:
        if is_traced(self.bad) or self.bad.any():
            for number, index in enumerate(judge.places(flow)):
                g = flow.leaves[index]
                flow.leaves[index] = jnp.where(self.bad[number], jnp.zeros_like(g), g)
        return state


@functools.partial(jax.jit, static_argnames=("plan",))
def _verdict(
    old: GuardState, bad: jax.Array, values: dict, sigma: Any, floor: Any, *, plan: _Plan
) -> tuple[jax.Array, GuardState, dict]:
    """(whether to take the step, the new state, what to report)."""
    broken = jnp.any(bad)
    holds = jnp.array(True)
    far = jnp.array(False)
    for name, x in values.items():
        holds &= jnp.isfinite(x)
        far |= is_spike(x, old.windows[name], old.filled, sigma, floor)
    far &= old.filled >= plan.after
    anew = far & (old.streak >= plan.window)
    spike = ~holds | (far & ~anew)
    if plan.policy != "zero_leaf":
        spike &= ~broken
    well = ~spike if plan.policy == "zero_leaf" else ~spike & ~broken
    streak = jnp.where(broken | spike, safe_increment(old.streak), 0)
    stopped = old.stopped
    if plan.policy == "raise":
        stopped |= broken
    if plan.give_up_after is not None:
        stopped |= streak >= plan.give_up_after
    accepted = well & ~stopped
    filled = jnp.where(anew, 0, old.filled)
    kept = jnp.where(broken | spike, old.bad_leaves, judge.no_leaves())
    new = GuardState(
        count=safe_increment(old.count),
        streak=streak,
        nonfinite=jnp.where(broken, safe_increment(old.nonfinite), old.nonfinite),
        spikes=jnp.where(spike, safe_increment(old.spikes), old.spikes),
        stopped=stopped,
        bad_leaves=jnp.where(broken, judge.first_leaves(bad, plan.which), kept),
        filled=jnp.where(accepted, jnp.minimum(filled + 1, plan.window), old.filled),
        windows={
            name: jnp.where(
                accepted, jnp.concatenate([x[None], old.windows[name][:-1]]), old.windows[name]
            )
            for name, x in values.items()
        },
        inner_state=None,
    )
    new = judge.unless_stopped(old, new)
    said = {
        "skipped_nonfinite": new.nonfinite,
        "skipped_spikes": new.spikes,
        "streak": new.streak,
    }
    return accepted, new, said


cleared_with_caches(_verdict.clear_cache)  # pyright: ignore[reportAttributeAccessIssue]


@transformation
def guard(
    inner: Any,
    on_nonfinite: Literal["skip", "zero_leaf", "raise"] = "skip",
    *,
    spikes: Any = None,
    give_up_after: Annotated[int, Interval(1, integer=True)] | None = None,
    callback: bool = True,
) -> GradientTransformation:
    """Spare a transformation the gradients that are not finite, and spikes.

    If all entries of all arrays of g are finite and the step is no spike, u = inner(g). If not:

        "skip"       u = 0, and the state of inner stays as it is, bit for bit
        "zero_leaf"  u = inner(g'), with g' = 0 for each array that has an inf or a nan in it
        "raise"      FloatingPointError

    and a spike is skipped. `step` does not touch the parameters where u = 0.

    With "zero_leaf" the whole array is set to zero, since where one entry is inf the others are
    rarely right. Its moments decay as with any gradient of zero, so that momentum and weight decay
    still move it; the counts of inner go on.

    After `give_up_after` bad steps in a row, skipped or with arrays set to zero, it raises
    FloatingPointError with the paths of the arrays and counts by cause. Without jit that happens at
    once. A compiled program raises by a callback (`jax.errors.JaxRuntimeError` with that message,
    when its results are waited for), inside loops and with donated arguments too; JAX keeps no
    program with a callback in its persistent cache. With `callback=False` there is none, and
    `check_guards(state)` raises when it is called. In either case the state is frozen from that
    step on, also at finite gradients, until there is a new one.

    Around `MultiSteps` or `accumulate` a guard judges micro-batches: a bad one does not enter the
    accumulator and another takes its place; one with `flush=True` still ends its group, with what
    was gathered before. Inside, it judges their mean, and one bad micro-batch costs the step.
    In a group it judges the leaves of the group alone.

    Shapes: any.
    Units: those of inner.

    Args:
        inner: The transformation.
        on_nonfinite: What to do with gradients that are not finite.
        spikes: What `gradtx.spikes` returned; None for no such rule. For a spike of the loss
            `update` needs the extra argument `value`.
        give_up_after: At which bad step in a row to stop, at least 1; None for never.
        callback: Whether a compiled program raises by itself.

    Returns:
        The transformation, with a `GuardState`. `with_metrics` can ask it for
        "skipped_nonfinite", "skipped_spikes" and "streak".

    Raises:
        TypeError: If `inner` is no transformation, or `spikes` no such rule.
        ValueError: If another argument is outside its range, or a `loss_scaling` is inside.
        FloatingPointError: On update, as said above.

    Source: for spikes that of `gradtx.spikes`.
    """
    if on_nonfinite not in POLICIES:
        close = difflib.get_close_matches(str(on_nonfinite), POLICIES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"guard: `on_nonfinite` must be one of {POLICIES}, but is {on_nonfinite!r}.{hint}"
        )
    if spikes is not None and not isinstance(spikes, SpikeRule):
        raise TypeError(
            f"guard: `spikes` must be what gradtx.spikes(...) returned, but is {spikes!r}."
        )
    child = as_transformation(inner, "guard")
    refuse_unscaling("guard", child)
    limit = None if give_up_after is None else int(give_up_after)
    return from_body(_Guard("guard", child, on_nonfinite, spikes, limit, bool(callback)))
