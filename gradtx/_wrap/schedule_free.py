"""Schedule-Free: an average of the iterates in the place of a falling learning rate."""

import dataclasses
import functools
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from .._core import leaves
from .._core.body import Body, Purpose, run, start
from .._core.composite import Sequence
from .._core.flow import Flow
from .._core.leaves import as_array
from .._core.numerics import accumulator_dtype, divide, safe_increment, with_precision_of
from .._core.rule import Rule, as_decay
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    lift,
    transformation,
)
from .._core.wrap import Wrapper, as_abstract_as, check_state, first_count, need_params
from ..typing import (
    Count,
    DType,
    InnerState,
    Interval,
    LearningRate,
    Numeric,
    OptState,
    Params,
    PerParam,
    PerParamReduced,
    Real,
    Scalar,
)
from .common import always_steps, copies_of, copy_of, taken_by_then
from .sam import ways_back

Interpolation = Annotated[Numeric, Interval(0.0, 1.0, open_low=True)]


class ScheduleFreeState(NamedTuple):
    """b1, what the weights need, the wrapped transformation's state, and its iterates z.

    `x`, the average, is there for parameters that are stored narrower than z; that of all others
    is found from z and the parameters.
    """

    b1: Scalar
    weight_sum: Scalar
    step_count: Count
    max_lr: Scalar
    base_optimizer_state: InnerState
    z: PerParam
    x: PerParam = None


class _Averaging(NamedTuple):
    """What the rule keeps; x is None where y holds it."""

    count: Count
    weight_sum: Scalar
    max_lr: Scalar
    z: PerParam
    x: PerParamReduced


def _next_weight(state, h, extra):
    dtype = h.learning_rate.dtype
    max_lr = jnp.maximum(state.max_lr.astype(dtype), h.learning_rate)
    weight = max_lr**h.weight_lr_power
    if h.gated:
        weight = jnp.where(h.taken != 0, weight, 0)
    total = state.weight_sum.astype(dtype) + weight
    count = safe_increment(state.count)
    if h.gated:
        max_lr = jnp.where(h.taken != 0, max_lr, state.max_lr.astype(dtype))
        count = jnp.where(h.taken != 0, count, state.count)
    new = state._replace(count=count, weight_sum=total, max_lr=max_lr)
    return {"c": divide(weight, total)}, new


def _averaged(g, state, p, h):
    z = state.z + g
    if state.x is None:
        # y and z say what x is. g, which may be costly, stands in z alone: XLA on CPU would write
        # down what goes into more than one array.
        u = h.c * (z - p) + h.one_minus_b1 * (1 - h.c) * (z - state.z)
        return (p + u if h.stepping else u), state._replace(z=z)
    x = state.x + h.c * (z - state.x)
    y = x + h.one_minus_b1 * (z - x)
    if h.gated:  # y as it is stored is rounded, and stays so
        y = jnp.where(h.taken != 0, y, p + h.one_minus_b1 * g)
    return (y if h.stepping else y - p), state._replace(z=z, x=x)


_SCHEDULE_FREE = Rule(_averaged, state=_Averaging, shared=_next_weight, params=True)


@dataclasses.dataclass(eq=False)
class _ScheduleFree(Wrapper):
    """A transformation whose steps are averaged.

    Attributes:
        name: The constructor's name.
        inner: The transformation that moves z.
        numbers: Hyperparameters of the rule.
        b1: That of them which the state holds.
        state_dtype: Dtype of z, or None.
    """

    inner: Any
    numbers: dict[str, Any]
    b1: Any
    state_dtype: Any
    rests_as_inside: ClassVar[bool] = True

    @functools.cached_property
    def bodies(self) -> dict[bool, Body]:
        """inner, and the rule that makes updates of y (False) or y itself (True)."""
        return {stepping: self._with_rule(stepping) for stepping in (False, True)}

    def _with_rule(self, stepping: bool, **taken: Any) -> Body:
        static = {"stepping": stepping, "gated": bool(taken)}
        rule = lift(_SCHEDULE_FREE, static=static, **self.numbers, **taken)
        return Sequence(self.name, (self.inner, rule))

    def init(self, flow: Flow) -> Any:
        z = copies_of(flow, self.state_dtype)
        x = [_copy_where_wider(copy, p) for copy, p in zip(z, flow.leaves, strict=True)]
        return ScheduleFreeState(
            b1=as_abstract_as(flow, jnp.asarray(self.b1).astype(float)),
            weight_sum=as_abstract_as(flow, jnp.zeros([], float)),
            step_count=first_count(flow),
            max_lr=as_abstract_as(flow, jnp.zeros([], float)),
            base_optimizer_state=start(self.inner.update.body, flow),
            z=flow.treedef.unflatten(z),
            x=flow.treedef.unflatten(x),
        )

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        if purpose == "gradient":
            return super().point(purpose, state, params)
        return _averages(self.name, [check_state(self.name, ScheduleFreeState, state)], params)

    def update(self, flow: Flow, state: Any) -> Any:
        return self._run(False, flow, state, flow.casting)

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        need_params(self.name, flow)
        branch = flow.branch(
            dtypes=[p.dtype if on else None for p, on in _trained(flow.param_arrays, flow)]
        )
        state = self._run(True, branch, state, True)
        flow.taken, flow.noise_by = branch.taken, branch.noise_by
        made = zip(branch.leaves, flow.params or [], flow.trainable, strict=True)
        return flow.treedef.unflatten([y if on else p for y, p, on in made]), state

    def _b1_like(self, stored: Any, taken: Any) -> Any:
        """b1 of the y that is made now, where it is an array that may change between steps."""
        if not isinstance(self.b1, jax.Array):
            return stored
        b1 = self.b1.astype(stored.dtype) + 0  # not the same array: both may be donated
        return b1 if taken is True else jnp.where(taken, b1, stored)

    def _run(self, stepping: bool, flow: Flow, state: Any, casting: bool) -> ScheduleFreeState:
        need_params(self.name, flow)
        state = check_state(self.name, ScheduleFreeState, state)
        x = flow.treedef.unflatten([None] * len(flow.leaves)) if state.x is None else state.x
        average = _Averaging(state.step_count, state.weight_sum, state.max_lr, state.z, x)
        body = self.bodies[stepping]
        if not always_steps(self.inner.update.body, flow):
            body = self._with_rule(stepping, taken=taken_by_then(flow))
        inner, average = run(body, flow, (state.base_optimizer_state, average), outermost=casting)
        return ScheduleFreeState(
            self._b1_like(state.b1, flow.taken),
            average.weight_sum,
            average.count,
            average.max_lr,
            inner,
            average.z,
            average.x,
        )


def _trained(column: list, flow: Flow) -> Any:
    return zip(column, flow.trainable, strict=True)


def _copy_where_wider(z: Any, p: Any) -> Any:
    if z is None or jnp.finfo(z.dtype).bits <= jnp.finfo(p.dtype).bits:
        return None
    return copy_of(z, z.dtype)


@transformation
def schedule_free(
    base_optimizer: Any,
    learning_rate: LearningRate,
    b1: Interpolation = 0.9,
    weight_lr_power: Real = 2.0,
    state_dtype: DType | None = None,
) -> GradientTransformation:
    """Average the iterates of an optimizer while it runs, so that its rate need not fall.

    For each array, with x = z = w at the start, at step t = 0, 1, ..., where the gradient is taken
    at the parameters w, which are y:

        y = b1 x + (1 - b1) z
        z = z + base_optimizer(gradient at y)
        c = weight / (sum of the weights so far),  weight = (max learning_rate so far)^power
        x = (1 - c) x + c z

    With a constant rate c = 1 / (t + 1), and x is the mean of all z. The parameters to evaluate,
    and to keep in the end, are x: `tx.eval_params(state, params)`, or
    `schedule_free_eval_params(state, params)` where only the state is at hand.

    b1 takes the place of momentum, so the base optimizer should have none. What it does to the
    parameters, such as decay, it does at y.

    Only steps are averaged: where an accumulation or a guard makes none of a call, be it inside or
    around this, z, x and y stay. Around groups of which one may rest alone, by a guard or an
    accumulation in it, a step of one is a step of all: the z of the others, which stay, are
    averaged once more. With one of these in each group they count apart. An accumulation costs
    less around this. What comes back to where it began, as the transparent `sam` does, belongs
    around it, not inside.

    Shapes: z is shaped like w, in float32 or wider. So is x, for parameters in less than that; for
        all others it is found from y = w and z. `step` then computes y itself; `update` can only
        return the difference to it, which may be off by a rounding.
    Units: those of the base optimizer's updates, which are steps: its own rate included.

    Args:
        base_optimizer: The transformation that moves z.
        learning_rate: Its learning rate, for the weights: number in [0, inf), or a schedule of
            such, which warms up and does not fall.
        b1: Where y lies between z and x, in (0, 1]; often 0.9, 0.95 or 0.98.
        weight_lr_power: Power of the rate in the weights, a number; at 0 warm-up counts fully.
        state_dtype: Dtype of z (and of x); None for float32 or wider.

    Returns:
        The transformation, with a `ScheduleFreeState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range, or a transparent `sam` is inside; on
            update, if the parameters are missing.
        TypeError: If `base_optimizer` is no transformation.

    Source: Defazio, Yang, Mehta, Mishchenko, Khaled, Cutkosky 2024,
        https://arxiv.org/abs/2405.15682, equations 3 to 5; the weights as in Algorithm 1.
    Differs: from Optax, where the weight of a step is that of the next step's rate: a schedule is
        asked for step 0 first here, as it is by the base optimizer.
    """
    name = "schedule_free"
    numbers = {
        "learning_rate": learning_rate,
        "b1": as_decay(b1),
        "weight_lr_power": weight_lr_power,
    }
    inner = as_transformation(base_optimizer, name)
    for _ in ways_back(inner.update.body):
        raise ValueError(
            "schedule_free: `sam` inside it must be opaque: the transparent one goes back by what "
            "it moved, but here the parameters move by a part of that. Put it around, "
            "sam(schedule_free(...), adv_optimizer), or give it opaque_mode=True."
        )
    return from_body(_ScheduleFree(name, inner, numbers, b1, state_dtype))


def schedule_free_eval_params(state: OptState, params: Params) -> Params:
    """The parameters to evaluate of an optimizer with `schedule_free` in it: the averages x.

    Args:
        state: The optimizer's state, with one `ScheduleFreeState` anywhere in it; or with several
            for different leaves, as `partition` has them.
        params: The parameters y, as they are trained.

    Returns:
        Tree like the parameters, in their dtypes. Leaves that `schedule_free` does not move are
        as they were.

    Raises:
        ValueError: If there is no such state, if two are for the same leaf, or if it is of other
            parameters.
    """
    found = [s for s in jax.tree.leaves(state, is_leaf=_is_ours) if _is_ours(s)]
    owner = "schedule_free_eval_params"
    if not found:
        raise ValueError(
            f"{owner}: the state must have a ScheduleFreeState in it, but is a "
            f"{type(state).__name__} without one. Is it that of an optimizer with schedule_free?"
        )
    return _averages(owner, found, params)


def _averages(owner: str, found: list, params: Any) -> Any:
    """The parameters x of all states, each of which is of leaves of its own."""
    given, treedef = leaves.flatten(params)
    out: list[Any] = [None] * len(given)
    for ours in found:
        columns = [_column(owner, treedef, params, ours, field) for field in ("z", "x")]
        for i, (z, x) in enumerate(zip(*columns, strict=True)):
            if not leaves.is_inexact(z):
                continue
            if out[i] is not None:
                raise ValueError(
                    f"{owner}: the state has {len(found)} ScheduleFreeStates, and two of them "
                    f"hold {leaves.path_names(params)[i]}. Give the one that is meant."
                )
            out[i] = _evaluated(given[i], z, x, ours.b1)
    return treedef.unflatten([p if x is None else x for p, x in zip(given, out, strict=True)])


def _is_ours(node: Any) -> bool:
    # By its fields, so that a state of Optax's class is found, too.
    return {"b1", "z", "weight_sum"} <= set(getattr(node, "_fields", ()))


def _column(owner: str, treedef: Any, params: Any, state: Any, field: str) -> list:
    tree = getattr(state, field, None)
    if tree is None:
        return [None] * treedef.num_leaves
    return leaves.align(
        treedef,
        tree,
        owner=owner,
        what=f"the state field `{field}`",
        reference=params,
        reference_name="the parameters",
    )


def _evaluated(y: Any, z: Any, x: Any, b1: Any) -> jax.Array:
    y = as_array(y)
    if x is None:
        real = accumulator_dtype(y.dtype, z.dtype)
        wide = with_precision_of(y.dtype, real)
        y_wide, z, b1 = (jnp.asarray(v).astype(wide) for v in (y, z, b1))
        x = z + (y_wide - z) / b1
    return x.astype(y.dtype)
