"""Lookahead: slow parameters that follow fast ones now and then."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax.numpy as jnp

from .._core import leaves
from .._core.body import Body, Purpose, run, start
from .._core.composite import Sequence
from .._core.flow import Flow
from .._core.leaves import as_array
from .._core.numerics import widened, with_precision_of
from .._core.rule import Rule
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    lift,
    transformation,
)
from .._core.wrap import Wrapper, check_state, every_body, first_count, need_params
from ..typing import Count, DType, InnerState, NonNegative, Params, PerParam, PositiveInt, Tally
from .common import always_steps, copies_of, copy_of, either, like, taken_by_then
from .sam import ways_back


class LookaheadState(NamedTuple):
    """The fast optimizer's state, steps since fast and slow met, and slow if it is kept here."""

    fast_state: InnerState
    steps_since_sync: Tally
    slow: PerParam = None


class LookaheadParams(NamedTuple):
    """A pair of parameters: gradients are taken at `fast`, and `slow` is evaluated."""

    fast: Params
    slow: Params

    @classmethod
    def init_synced(cls, params: Params, *, slow_dtype: DType | None = None) -> "LookaheadParams":
        """A pair that starts at one point, in buffers of their own.

        Args:
            params: Tree of parameters, which become the fast ones.
            slow_dtype: Dtype of the slow ones, complex arrays complex at that width; None for
                that of the parameters.
        """
        given, treedef = leaves.flatten(params)
        slow = [_slow_copy(p, slow_dtype) if leaves.is_inexact(p) else p for p in given]
        return cls(fast=params, slow=treedef.unflatten(slow))

    def fit_updates(self, updates: Any) -> Any:
        """Updates of the fast parameters alone as updates of the pair, None for the slow ones."""
        if isinstance(updates, LookaheadParams):
            return updates
        _, treedef = leaves.flatten(self.slow)
        return LookaheadParams(updates, treedef.unflatten([None] * treedef.num_leaves))


def _slow_copy(p: Any, dtype: Any) -> Any:
    p = as_array(p)
    return copy_of(p, p.dtype if dtype is None else with_precision_of(p.dtype, dtype))


class _Meeting(NamedTuple):
    """Steps since fast and slow met, and slow."""

    count: Count
    slow: PerParam


def _count_to_meeting(state, h, extra):
    due = state.count + 1 >= h.sync_period.astype(state.count.dtype)
    count = jnp.where(due, 0, state.count + 1)
    if h.gated:
        due &= h.taken != 0
        count = jnp.where(h.taken != 0, count, state.count)
    return {"due": due}, state._replace(count=count)


def _follow(g, state, p, h):
    meeting = state.slow + h.slow_step_size * (p + g - state.slow)
    return state._replace(slow=jnp.where(h.due != 0, meeting, state.slow))


def _meet(g, state, p, h):
    met, alone = (state.slow, p + g) if h.stepping else (state.slow - p, g)
    return jnp.where(h.due != 0, met, alone), state


_LOOKAHEAD = Rule(_meet, state=_Meeting, shared=_count_to_meeting, accumulate=_follow, params=True)


@dataclasses.dataclass(eq=False)
class _Lookahead(Wrapper):
    """A transformation of the fast parameters.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        numbers: Hyperparameters of the rule.
        reset_state: Whether inner starts anew where fast and slow meet.
        slow_in_state: Whether the parameters are the fast ones alone.
    """

    inner: Any
    numbers: dict[str, Any]
    reset_state: bool
    slow_in_state: bool

    @functools.cached_property
    def bodies(self) -> dict[bool, Body]:
        """inner, and the rule that makes updates (False) or new parameters (True)."""
        return {stepping: self._with_rule(stepping) for stepping in (False, True)}

    def _with_rule(self, stepping: bool, **taken: Any) -> Body:
        static = {"stepping": stepping, "gated": bool(taken)}
        rule = lift(_LOOKAHEAD, static=static, **self.numbers, **taken)
        return Sequence(self.name, (self.inner, rule))

    def resting(self, flow: Flow) -> list[bool]:
        if not self.slow_in_state:  # the leaves are those of pairs
            return [False] * len(flow.leaves)
        return self.inner.update.body.resting(flow)

    def left_out(self, flow: Flow) -> list[bool]:
        if not self.slow_in_state:
            return [False] * len(flow.leaves)
        return self.inner.update.body.left_out(flow)

    def init(self, flow: Flow) -> Any:
        fast = flow.child(0) if self._pair(flow.tree) else flow
        slow = fast.treedef.unflatten(copies_of(fast)) if self.slow_in_state else None
        return LookaheadState(start(self.inner.update.body, fast), first_count(fast), slow)

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        """The fast parameters, or the slow ones: a pair comes back as one of its halves."""
        if purpose == "gradient":
            fast = params.fast if self._pair(params) else params
            return self.inner.update.body.point(purpose, state.fast_state, fast)
        if self._pair(params):
            return params.slow
        given, treedef = leaves.flatten(params)
        slow = leaves.align(
            treedef,
            self._slow_in(state),
            owner=self.name,
            what="the state field `slow`",
            reference=params,
            reference_name="the parameters",
        )
        return treedef.unflatten([like(p, x) for p, x in zip(given, slow, strict=True)])

    def update(self, flow: Flow, state: Any) -> Any:
        fast, column, state = self._run(flow, state, stepping=False)
        if self.slow_in_state:
            flow.leaves = fast.leaves
            return state
        # From here on the slow parameters have updates, too, in the dtypes that they have.
        slow = flow.child(1)
        given = zip(column, slow.params or [], slow.dtypes, fast.trainable, strict=True)
        changes = [
            (widened(new) - widened(as_array(p)), d or as_array(p).dtype) if on else (None, None)
            for new, p, d, on in given
        ]
        flow.leaves = [*fast.leaves, *(u for u, _ in changes)]
        flow.dtypes = [*fast.dtypes, *(d for _, d in changes)]
        flow.trainable = fast.trainable * 2
        flow.__dict__.pop("param_arrays", None)
        return state

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        fast, column, state = self._run(flow, state, stepping=True)
        params = self._filled(fast, fast.leaves, fast.params)
        if self.slow_in_state:
            return params, state
        return LookaheadParams(params, self._filled(fast, column, flow.child(1).params)), state

    @staticmethod
    def _filled(fast: Flow, column: list, kept: Any) -> Any:
        made = zip(column, kept, fast.trainable, strict=True)
        return fast.treedef.unflatten([x if on else p for x, p, on in made])

    def _run(self, flow: Flow, state: Any, stepping: bool) -> tuple[Flow, list, LookaheadState]:
        """The flow of the fast parameters, what the rule says of slow, and the new state."""
        need_params(self.name, flow)
        state = check_state(self.name, LookaheadState, state)
        fast = flow.branch() if self.slow_in_state else self._fast(flow)
        slow = self._slow(flow, state)
        casting = flow.casting
        if stepping:
            casting = True
            fast.dtypes = [p.dtype if on else None for p, on in _zip(fast.param_arrays, fast)]
        states = (state.fast_state, _Meeting(state.steps_since_sync, slow))
        body = self.bodies[stepping]
        if not always_steps(self.inner.update.body, fast):
            body = self._with_rule(stepping, taken=taken_by_then(fast))
        fast_state, meeting = run(body, fast, states, outermost=casting)
        if self.reset_state:
            anew = self._anew(fast, stepping)
            fast_state = either((meeting.count == 0) & fast.taken, anew, fast_state)
        flow.taken, flow.noise_by = fast.taken, fast.noise_by
        column = fast.treedef.flatten_up_to(meeting.slow)
        kept = meeting.slow if self.slow_in_state else state.slow
        return fast, column, LookaheadState(fast_state, meeting.count, kept)

    def _fast(self, flow: Flow) -> Flow:
        if not self._pair(flow.params_tree):
            raise TypeError(
                f"{self.name}: the parameters must be LookaheadParams, but are "
                f"{type(flow.params_tree).__name__}. Make them by LookaheadParams.init_synced("
                "params), or give `slow_in_state=True` to have the slow ones in the state."
            )
        return flow.child(0)

    def _slow(self, flow: Flow, state: LookaheadState) -> Any:
        return self._slow_in(state) if self.slow_in_state else flow.params_tree.slow

    def _slow_in(self, state: LookaheadState) -> Any:
        if state.slow is None:
            raise ValueError(
                f"{self.name}: with `slow_in_state` the state must hold the slow parameters, but "
                "does not. Was it made by init() of a lookahead without it?"
            )
        return state.slow

    def _pair(self, tree: Any) -> bool:
        return isinstance(tree, LookaheadParams) and not self.slow_in_state

    def _anew(self, fast: Flow, stepping: bool) -> Any:
        """A first state of inner at the new fast parameters."""
        params = fast.leaves
        if not stepping:
            moved = fast.treedef.flatten_up_to(fast.applied())
            params = [as_array(p) if on else p for p, on in _zip(moved, fast)]
        tree = fast.treedef.unflatten(params)
        return start(self.inner.update.body, fast.branch(leaves=params, tree=tree))


def _zip(column: list, flow: Flow) -> Any:
    return zip(column, flow.trainable, strict=True)


@transformation
def lookahead(
    fast_optimizer: Any,
    sync_period: PositiveInt,
    slow_step_size: NonNegative,
    reset_state: bool = False,
    *,
    slow_in_state: bool = False,
) -> GradientTransformation:
    """Let slow parameters follow the fast ones of an optimizer, and bring both together.

    For each array, with k = sync_period, at step t = 1, 2, ..., with g the gradient at fast:

        fast = fast + fast_optimizer(g)
        where k divides t:
            slow = slow + slow_step_size (fast - slow)
            fast = slow

    The parameters are a pair, and so are the updates; the gradients are those of the fast ones:

        params = LookaheadParams.init_synced(params)
        state = tx.init(params)
        updates, state = tx.update(jax.grad(loss)(params.fast), state, params)
        params = apply_updates(params, updates)      then evaluate params.slow

    Gradients of the pair will do, too; those of slow are left out of account. With `slow_in_state`
    the parameters, gradients and updates are the fast ones alone, as for every other
    transformation, and `state.slow` is what is evaluated, in float32 or wider.

    `step` gives both the same bits where they meet; `update` can only return the differences,
    which may be off by a rounding.

    Steps are those of the fast optimizer: a micro-step of an accumulation or one that a guard
    leaves out is none, be it inside or around this. The slow parameters do not move then, and the
    fast ones as the fast optimizer has it. Around groups of which one may rest alone, by a guard or
    an accumulation in it, a step of one is a step of all: all meet at once, those that rested after
    fewer steps of their own. With one of these in each group they count apart, and so they must
    where one is a transparent `sam`. An accumulation costs less around this.

    Shapes: slow is shaped like fast.
    Units: those of the fast optimizer's updates, which are steps: its learning rate included.

    Args:
        fast_optimizer: The transformation that moves the fast parameters.
        sync_period: Number of fast steps from one meeting to the next, at least 1; often 5 or 6.
        slow_step_size: Where they meet between slow (0) and fast (1), in [0, inf); often 0.5.
        reset_state: Whether the fast optimizer's state starts anew after each meeting.
        slow_in_state: Whether the slow parameters are kept in the state.

    Returns:
        The transformation, with a `LookaheadState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range, or one of several groups inside has a
            transparent `sam`; on update, if the parameters are missing.
        TypeError: If `fast_optimizer` is no transformation; on update, if the parameters are no
            `LookaheadParams` without `slow_in_state`.

    Source: Zhang, Lucas, Hinton, Ba 2019, https://arxiv.org/abs/1907.08610, Algorithm 1.
    Differs: from Optax, where an infinite step turns slow into nan before they meet.
    """
    numbers = {"sync_period": sync_period, "slow_step_size": slow_step_size}
    inner = as_transformation(fast_optimizer, "lookahead")
    for body in every_body(inner.update.body):
        if type(body).groups_of is not Body.groups_of and next(ways_back(body), None):
            raise ValueError(
                "lookahead: a transparent `sam` must not be in one of several groups inside it: "
                "the others' steps would make it meet halfway up. Put a lookahead into each group, "
                "or give sam opaque_mode=True."
            )
    return from_body(_Lookahead("lookahead", inner, numbers, reset_state, slow_in_state))
