"""Averages of the parameters: what is evaluated is steadier than what is trained."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jax import lax

from .._core import leaves
from .._core.body import Purpose, run, start, step
from .._core.flow import Flow
from .._core.leaves import is_traced
from .._core.lifted import Lifted
from .._core.numerics import debiasing, safe_increment
from .._core.rule import Rule, as_decay
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state, first_count, need_params
from ..typing import Count, Decay, DType, InnerState, NonNegativeInt, PerParam, PositiveInt
from .common import copies_of


class AverageState(NamedTuple):
    """Number of steps, the average of the parameters, and the wrapped transformation's state."""

    count: Count
    average: PerParam
    inner_state: InnerState


class _Average(NamedTuple):
    """How many parameters are in the average with those that now come, and the average."""

    count: Count
    average: PerParam


def _share_in_mean(state, h, extra):
    return {"share": 1 / state.count.astype(float), "first": state.count == 1}, state


def _share_of_last(state, h, extra):
    first = state.count == 1
    if not h.debias:
        return {"share": h.one_minus_decay, "first": first}, state
    return {"share": h.one_minus_decay / debiasing(h.log_decay, state.count), "first": first}, state


def _moved(g, state, p, h):
    # In this form an average of equal numbers is that number, to the last bit.
    moved = state.average + h.share * (g - state.average)
    return g, state._replace(average=jnp.where(h.first != 0, g, moved))


_MEAN = Rule(_moved, state=_Average, shared=_share_in_mean)
_EMA = Rule(_moved, state=_Average, shared=_share_of_last)


@dataclasses.dataclass(eq=False)
class _Averaged(Wrapper):
    """A transformation whose parameters are averaged.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        rule: What the average does when parameters come.
        numbers: Its numbers.
        static: What else it is told.
        start: Number of steps before the average.
        every: Of how many steps one goes into it.
        with_start: Whether the parameters after `start` steps are the first in it.
        dtype: Dtype of the average, or None.
    """

    inner: Any
    rule: Rule
    numbers: dict[str, Any]
    static: dict[str, Any]
    start: int
    every: int
    with_start: bool
    dtype: Any
    moves_as_inside: ClassVar[bool] = True
    passes_as_inside: ClassVar[bool] = True
    last_because: ClassVar[str] = "it averages the parameters that its own updates lead to"

    def init(self, flow: Flow) -> Any:
        pairs = zip(copies_of(flow, self.dtype), self.resting(flow), strict=True)
        average = [None if rests else p for p, rests in pairs]
        inner_state = start(self.inner.update.body, flow)
        return AverageState(first_count(flow), flow.treedef.unflatten(average), inner_state)

    def update(self, flow: Flow, state: Any) -> Any:
        need_params(self.name, flow)
        state = check_state(self.name, AverageState, state)
        body = self.inner.update.body
        inner_state = run(body, flow, state.inner_state, outermost=flow.casting)
        return self._after(flow, state, inner_state, flow.applied())

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        need_params(self.name, flow)
        state = check_state(self.name, AverageState, state)
        params, inner_state = step(self.inner.update.body, flow, state.inner_state)
        return params, self._after(flow, state, inner_state, params)

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        state = check_state(self.name, AverageState, state)
        params = self.inner.update.body.point(purpose, state.inner_state, params)
        if purpose == "gradient":
            return params
        given, treedef = leaves.flatten(params)
        averages = leaves.align(
            treedef,
            state.average,
            owner=self.name,
            what="the state field `average`",
            reference=params,
            reference_name="the parameters",
        )
        begun = self._taken_in(state.count) > 0
        return treedef.unflatten(
            [
                p if a is None else jnp.where(begun, a.astype(jnp.result_type(p)), p)
                for p, a in zip(given, averages, strict=True)
            ]
        )

    def _taken_in(self, count: Any) -> Any:
        """How many parameters are in the average after so many steps."""
        since = count - self.start
        return jnp.where(since < 0, 0, since // self.every + int(self.with_start))

    def _after(self, flow: Flow, state: AverageState, inner_state: Any, params: Any) -> Any:
        """The state after a step that led to these parameters."""
        point = self.inner.update.body.point("evaluation", inner_state, params)
        taken = flow.taken
        count = safe_increment(state.count)
        count = count if taken is True else jnp.where(taken, count, state.count)
        number = self._taken_in(count)
        if taken is True and self.every == 1 and self.start == 0:
            average = self._average(flow, number, state.average, point)
        else:
            due = taken & (number > self._taken_in(count - 1))
            average = self._average_if(due, flow, number, state.average, point)
        return AverageState(count, average, inner_state)

    def _average_if(self, due: Any, flow: Flow, number: Any, average: Any, point: Any) -> Any:
        if not is_traced(due):
            return self._average(flow, number, average, point) if due else average
        return lax.cond(due, lambda: self._average(flow, number, average, point), lambda: average)

    def _average(self, flow: Flow, number: Any, average: Any, point: Any) -> Any:
        column, treedef = leaves.flatten(point)
        if treedef != flow.treedef:
            raise TypeError(
                f"{self.name}: what is evaluated must be like the parameters, but is "
                f"{type(point).__name__}. Inside it lookahead needs `slow_in_state=True`."
            )
        held = flow.column(average, self.name, "average")
        branch = flow.branch(trainable=[a is not None for a in held])
        pairs = zip(column, held, strict=True)
        branch.leaves = [p if a is None else leaves.as_array(p) for p, a in pairs]
        dtypes = {"average": self.dtype}
        body = Lifted(self.name, self.rule, self.numbers, self.static, dtypes)
        return run(body, branch, _Average(number, average)).average


@transformation
def with_ema(
    inner: Any,
    decay: Decay,
    *,
    debias: bool = True,
    every: PositiveInt = 1,
    start: NonNegativeInt = 0,
    dtype: DType | None = None,
) -> GradientTransformation:
    """Keep an exponential moving average of the parameters, to be evaluated.

    For each array, after step t = 1, 2, ... of inner, which led to w_t:

        a = decay a + (1 - decay) w_t                                       without `debias`
        a = a + (1 - decay) / (1 - decay^n) (w_t - a)                       with it

    where a is w_0 before in the first form, and in the second n counts the parameters in the
    average: they have the weights decay^(n-i) (1 - decay) / (1 - decay^n), i = 1 ... n, which sum
    to 1, so that the start has no share. Only every `every`-th step after `start` counts.

    Updates and steps are those of inner. `tx.eval_params(state, params)` gives a in the dtypes of
    the parameters, and the parameters themselves while nothing is in the average. Where inner has
    another point to evaluate (`lookahead`, `sam`, `schedule_free`), a is the average of that.

    The average moves where the parameters do: not at the micro-steps of an accumulation or at steps
    that a guard leaves out, whether they are inside or around this. It is that of the parameters
    that inner's updates lead to, so this must stand last in a chain: what changes updates behind it
    is refused.

    Shapes: a is shaped like w, in float32 or wider: one copy of the parameters that are trained.
    Units: those of w. About 1 / (1 - decay) averaged steps are remembered.

    Args:
        inner: The transformation that moves the parameters, its learning rate included.
        decay: Weight of the past, in [0, 1), such as 0.999.
        debias: Whether the start has no share in the average.
        every: One of how many steps goes into the average, at least 1.
        start: Number of steps before the average begins, 0 or more. Without `debias` it begins at
            the parameters after them.
        dtype: Dtype in which a is stored; None for float32 or wider. In bfloat16, which has 8 bits,
            a decay above about 0.99 loses most moves to rounding.

    Returns:
        The transformation, with an `AverageState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range; on update, if the parameters are missing.
        TypeError: If `inner` is no transformation.

    Source: Polyak, Juditsky 1992, https://doi.org/10.1137/0330046, for the evaluation of averages;
        Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, sections 3 and 7.2, for the correction
        and this kind of average.
    """
    numbers, static = {"decay": as_decay(decay)}, {"debias": debias}
    inner = as_transformation(inner, "with_ema")
    timing = int(start), int(every), not debias
    return from_body(_Averaged("with_ema", inner, _EMA, numbers, static, *timing, dtype))


@transformation
def with_average(
    inner: Any, *, start: NonNegativeInt = 0, dtype: DType | None = None
) -> GradientTransformation:
    """Keep the mean of all parameters after some step, to be evaluated: Polyak-Ruppert averaging.

    For each array, after step t = start + 1, start + 2, ... of inner, which led to w_t:

        a = mean of w_(start + 1), ..., w_t

    A constant or slowly falling learning rate goes with it. Updates, steps, `tx.eval_params` and
    where this may stand are as for `with_ema`.

    Shapes: a is shaped like w, in float32 or wider: one copy of the parameters that are trained.
    Units: those of w.

    Args:
        inner: The transformation that moves the parameters, its learning rate included.
        start: Number of steps before the mean begins, 0 or more.
        dtype: Dtype in which a is stored; None for float32 or wider. With n parameters in it the
            mean moves by 1 / n of a difference: a narrow dtype loses that soon.

    Returns:
        The transformation, with an `AverageState`. Its update needs the parameters.

    Raises:
        ValueError: If `start` is negative; on update, if the parameters are missing.
        TypeError: If `inner` is no transformation.

    Source: Polyak, Juditsky 1992, https://doi.org/10.1137/0330046, equation 2; Ruppert 1988,
        "Efficient estimations from a slowly convergent Robbins-Monro process".
    Differs: the start w_0 is not in the mean.
    """
    inner = as_transformation(inner, "with_average")
    return from_body(_Averaged("with_average", inner, _MEAN, {}, {}, int(start), 1, False, dtype))


@transformation
def with_swa(
    inner: Any, *, start: NonNegativeInt, every: PositiveInt, dtype: DType | None = None
) -> GradientTransformation:
    """Keep the mean of every k-th parameters, to be evaluated: stochastic weight averaging.

    For each array, with k = every and w_t the parameters after step t of inner:

        a = mean of w_start, w_(start + k), w_(start + 2 k), ...

    k is often the length of a cycle of the learning rate, or an epoch. The statistics of batch
    normalisation belong to other parameters than the mean: compute them anew for it. Updates,
    steps, `tx.eval_params` and where this may stand are as for `with_ema`.

    Shapes: a is shaped like w, in float32 or wider: one copy of the parameters that are trained.
    Units: those of w.

    Args:
        inner: The transformation that moves the parameters, its learning rate included.
        start: Number of steps after which the first parameters are taken, 0 for those of `init`.
        every: Number of steps from one to the next, at least 1.
        dtype: Dtype in which a is stored; None for float32 or wider.

    Returns:
        The transformation, with an `AverageState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range; on update, if the parameters are missing.
        TypeError: If `inner` is no transformation.

    Source: Izmailov, Podoprikhin, Garipov, Vetrov, Wilson 2018, https://arxiv.org/abs/1803.05407,
        Algorithm 1.
    """
    inner, timing = as_transformation(inner, "with_swa"), (int(start), int(every), True)
    return from_body(_Averaged("with_swa", inner, _MEAN, {}, {}, *timing, dtype))
