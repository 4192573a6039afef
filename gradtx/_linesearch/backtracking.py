"""The line search for a sufficient decrease."""

import dataclasses
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from .._core.body import Body
from .._core.flow import Flow
from .._core.state import Field
from .._core.transformation import GradientTransformation, from_body, transformation
from .._core.wrap import check_state
from ..typing import Interval, NonNegative, NonNegativeInt, Numeric, PerParam, Positive, Scalar
from .line import OWN, Line, first_state, number_dtype, print_if, repeat


class BacktrackingLinesearchInfo(NamedTuple):
    """How a search went: the trials, and by how much the last one missed the condition.

    The error is 0 where the condition holds, and inf where the loss is nan.
    """

    num_linesearch_steps: jax.Array
    decrease_error: jax.Array


class ScaleByBacktrackingLinesearchState(NamedTuple):
    """The step found (the last one tried if none was), and the value where it leads.

    `grad` is the gradient there, or None where it is not stored.
    """

    learning_rate: Scalar
    value: Scalar
    grad: PerParam
    info: Annotated[BacktrackingLinesearchInfo, Field("scalar")]


class _Limits(NamedTuple):
    """The numbers of a search, as the constructor's arguments."""

    max_steps: Any
    slope_rtol: Any
    decrease_factor: Any
    increase_factor: Any
    max_step: Any
    atol: Any
    rtol: Any


class _Search(NamedTuple):
    """The step to be tried next; count, step, value and error of the last trial."""

    trial: Any
    count: Any
    step: Any
    value: Any
    error: Any


@jax.jit
def _first(limits: _Limits, before: jax.Array, value: jax.Array) -> _Search:
    nowhere = jnp.full_like(value, jnp.inf)
    longer = jnp.where(before > 0, limits.increase_factor * before, limits.max_step)
    trial = jnp.minimum(longer, limits.max_step)
    return _Search(trial, jnp.zeros([], jnp.int32), before, value, nowhere)


@jax.jit
def _goes_on(limits: _Limits, s: _Search, value: jax.Array, slope: jax.Array) -> jax.Array:
    comparable = jnp.isfinite(value) & jnp.isfinite(slope)
    left = s.count.astype(value.dtype) <= limits.max_steps
    return comparable & left & ~(s.error <= limits.atol)


@jax.jit
def _learn(
    limits: _Limits, s: _Search, value: jax.Array, slope: jax.Array, new: jax.Array
) -> _Search:
    allowed = value + limits.rtol * jnp.abs(value) + limits.slope_rtol * s.trial * slope
    error = jnp.maximum(new - allowed, 0)
    error = jnp.where(jnp.isnan(error), jnp.inf, error)
    return _Search(limits.decrease_factor * s.trial, s.count + 1, s.trial, new, error)


@jax.jit
def _taken(
    limits: _Limits, s: _Search, value: jax.Array, slope: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The step that is taken and the value there: 0 rather than one that raises the loss."""
    taken = (s.count > 0) & ((s.error <= limits.atol) | (s.value <= value))
    return jnp.where(taken, s.step, 0), jnp.where(taken, s.value, value)


@dataclasses.dataclass(eq=False)
class _Backtracking(Body):
    """The updates scaled by the step that a search finds.

    Attributes:
        name: The constructor's name.
        limits: Its numbers.
        store_grad: Whether the state has the gradient where the step leads.
        verbose: Whether a search that fails says so.
    """

    needs: ClassVar[tuple[str, ...]] = OWN
    name: str
    limits: _Limits
    store_grad: bool
    verbose: bool
    reports: ClassVar[tuple[str, ...]] = ("step_size", "linesearch_steps", "decrease_error")

    def init(self, flow: Flow) -> Any:
        dtype = number_dtype(flow)

        def make(params: list) -> ScaleByBacktrackingLinesearchState:
            zeros = [None if p is None else jnp.zeros_like(p) for p in params]
            return ScaleByBacktrackingLinesearchState(
                learning_rate=jnp.ones([], dtype),
                value=jnp.full([], jnp.inf, dtype),
                grad=flow.treedef.unflatten(zeros) if self.store_grad else None,
                info=BacktrackingLinesearchInfo(
                    num_linesearch_steps=jnp.zeros([], jnp.int32),
                    decrease_error=jnp.full([], jnp.inf, dtype),
                ),
            )

        return first_state(flow, make)

    def update(self, flow: Flow, state: Any) -> Any:
        state = check_state(self.name, ScaleByBacktrackingLinesearchState, state)
        line = Line(self.name, flow, state.value.dtype)
        limits = _Limits(*(jnp.asarray(x).astype(line.dtype) for x in self.limits))
        start = line.value, line.slope
        search = repeat(
            lambda s: _goes_on(limits, s, *start),
            lambda s: _learn(limits, s, *start, line.value_at(s.trial)),
            _first(limits, jax.lax.stop_gradient(state.learning_rate), line.value),
        )
        if self.verbose:
            print_if(
                ~(search.error <= limits.atol),
                self.name + ": no step of those tried lowers the loss {value} enough. The slope "
                "along the updates is {slope}, which must be negative. Decrease error {error} "
                "after {count} trials, the last of {step}.",
                value=line.value,
                slope=line.slope,
                error=search.error,
                count=search.count,
                step=search.step,
            )
        step, value = _taken(limits, search, *start)
        line.advance(step)
        for name, number in zip(self.reports, (step, search.count, search.error), strict=True):
            flow.report(name, number)
        grad = line.tree(line.grad_at(step), state.grad, "grad") if self.store_grad else None
        return ScaleByBacktrackingLinesearchState(
            learning_rate=search.step,
            value=value,
            grad=grad,
            info=BacktrackingLinesearchInfo(search.count, search.error),
        )


@transformation
def scale_by_backtracking_linesearch(
    max_backtracking_steps: NonNegativeInt,
    slope_rtol: NonNegative = 1e-4,
    decrease_factor: Annotated[Numeric, Interval(0.0, 1.0, open_low=True, open_high=True)] = 0.8,
    increase_factor: Annotated[Numeric, Interval(0.0, open_low=True, infinite=True)] = 1.5,
    max_learning_rate: Positive = 1.0,
    atol: NonNegative = 0.0,
    rtol: NonNegative = 0.0,
    store_grad: bool = False,
    verbose: bool = False,
) -> GradientTransformation:
    """Scale the updates by a step that lowers the loss enough, found by shortening a first guess.

    With f the loss at the parameters w, u the updates that arrive, f(a) the loss at w + a u, and
    f'(0) its slope at 0, a is the first of

        a = min(increase_factor a_before, max_learning_rate), decrease_factor a, ...

    for which f(a) <= f(0) + rtol |f(0)| + slope_rtol a f'(0) + atol. a_before is 1 in the first
    update. Each trial costs one value. If they run out, the last step is taken if it does not raise
    f; else the update is 0, and the next search starts where this one ended.

    `update` needs `value` and `grad`, the loss and its gradient at w, and `value_fn`, a function
    params -> loss. Those extra arguments of update that `value_fn` takes by name are passed on to
    it, so that the batch can be one. It gets the parameters of all leaves, also where this stands
    inside `masked` or `partition` and moves some of them. u must descend, as gradient descent does:
    chain this behind `sgd(1.0)` or `scale(-1.0)`. What stands behind this in a chain changes the
    step, and value and grad in the state are then not those at the new parameters.

    Shapes: any.
    Units: those of u.

    Args:
        max_backtracking_steps: How often the step is shortened at most, an integer of at least 0.
        slope_rtol: Part of the decrease that the slope promises, in [0, inf); usually 1e-4, or
            0.1 with batches.
        decrease_factor: By which the step is shortened, in (0, 1).
        increase_factor: By which the step grows from one update to the next, in (0, inf]; inf
            starts each search at `max_learning_rate`.
        max_learning_rate: Longest step, above 0.
        atol: By how much the condition may be missed, in [0, inf).
        rtol: The same relative to |f(0)|, in [0, inf).
        store_grad: Whether the state shall have the gradient where the step leads, for
            `value_and_grad_from_state`. It is computed once, after the search.
        verbose: Whether to print why, where no step was found.

    Returns:
        The transformation, with a `ScaleByBacktrackingLinesearchState`. To differentiation the
        step is a constant.

    Raises:
        ValueError: If an argument is outside its range; on update, if the parameters are missing
            or `value` is not one number.
        TypeError: On update, if an extra argument is missing, or `value_fn` lacks an argument or
            returns no real scalar.

    Source: Nocedal, Wright 2006, https://doi.org/10.1007/978-0-387-40065-5, Algorithm 3.1; with
        batches, and a first guess that grows, Vaswani et al. 2019,
        https://arxiv.org/abs/1905.09997, Algorithm 1.
    Differs: `rtol` is relative to |f(0)|, so that it is a tolerance where f is negative, too. Optax
        takes the last step even if it raises the loss, and after a loss of nan its steps are 0 for
        ever. Extra arguments that `value_fn` does not take are ignored. For complex parameters
        `grad` is the conjugate of what jax.grad returns, as the updates of every transformation
        are; the state has the gradient as jax.grad returns it.
    """
    limits = _Limits(
        max_backtracking_steps,
        slope_rtol,
        decrease_factor,
        increase_factor,
        max_learning_rate,
        atol,
        rtol,
    )
    return from_body(_Backtracking("scale_by_backtracking_linesearch", limits, store_grad, verbose))
