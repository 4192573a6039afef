"""The line search for the strong Wolfe conditions."""

import dataclasses
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from .._core.body import Body
from .._core.flow import Flow
from .._core.state import Field
from .._core.transformation import GradientTransformation, from_body, transformation
from .._core.wrap import check_state
from ..typing import Interval, NonNegative, Numeric, PerParam, PositiveInt, Scalar, Threshold
from .line import OWN, Line, chosen, first_state, number_dtype, print_if, repeat
from .wolfe import Limits, Search, first, learn

_STRATEGIES = ("one", "keep")


class ZoomLinesearchInfo(NamedTuple):
    """How a search went: the trials, and by how much the last one missed each condition.

    An error is 0 where the condition holds, and inf where the loss is nan.
    """

    num_linesearch_steps: jax.Array
    decrease_error: jax.Array
    curvature_error: jax.Array


class ScaleByZoomLinesearchState(NamedTuple):
    """The step found (the last one tried if none was), and value and gradient where it leads."""

    learning_rate: Scalar
    value: Scalar
    grad: PerParam
    info: Annotated[ZoomLinesearchInfo, Field("scalar")]


@dataclasses.dataclass(eq=False)
class _ZoomLinesearch(Body):
    """The updates scaled by the step that a search finds.

    Attributes:
        name: The constructor's name.
        limits: Its numbers.
        keeps: Whether a search starts at the step of the one before.
        verbose: Whether a search that fails says so.
    """

    needs: ClassVar[tuple[str, ...]] = OWN
    name: str
    limits: Limits
    keeps: bool
    verbose: bool
    reports: ClassVar[tuple[str, ...]] = ("step_size", "linesearch_steps", "decrease_error")

    def init(self, flow: Flow) -> Any:
        dtype = number_dtype(flow)

        def make(params: list) -> ScaleByZoomLinesearchState:
            zeros = [None if p is None else jnp.zeros_like(p) for p in params]
            return ScaleByZoomLinesearchState(
                learning_rate=jnp.ones([], dtype),
                value=jnp.full([], jnp.inf, dtype),
                grad=flow.treedef.unflatten(zeros),
                info=ZoomLinesearchInfo(
                    num_linesearch_steps=jnp.zeros([], jnp.int32),
                    decrease_error=jnp.full([], jnp.inf, dtype),
                    curvature_error=jnp.full([], jnp.inf, dtype),
                ),
            )

        return first_state(flow, make)

    def update(self, flow: Flow, state: Any) -> Any:
        state = check_state(self.name, ScaleByZoomLinesearchState, state)
        line = Line(self.name, flow, state.value.dtype)
        limits = self.limits.as_arrays(line.dtype)

        def step(at: tuple[Search, list]) -> tuple[Search, list]:
            value, slope, grad = line.all_at(at[0].trial)
            search, keep = learn(limits, at[0], value, slope)
            return search, chosen(keep, grad, at[1])

        before = jax.lax.stop_gradient(state.learning_rate)
        guess = jnp.where((before > 0) & self.keeps, before, jnp.ones_like(before))
        start = first(limits, guess, line.value, line.slope)
        search, grad = repeat(lambda at: ~at[0].over, step, (start, line.grad))
        if self.verbose:
            _report(self.name, search)
        line.advance(search.result.step)
        said = (search.result.step, search.count, search.decrease_error)
        for name, number in zip(self.reports, said, strict=True):
            flow.report(name, number)
        return ScaleByZoomLinesearchState(
            learning_rate=_next_guess(search, before),
            value=search.result.value,
            grad=line.tree(grad, state.grad, "grad"),
            info=ZoomLinesearchInfo(search.count, search.decrease_error, search.curvature_error),
        )


def _next_guess(search: Search, before: jax.Array) -> jax.Array:
    """The step taken, or the last one tried if none was, or the one before if none was tried."""
    last = jnp.where(search.count == 0, before, search.tried)
    return jnp.where(search.result.step > 0, search.result.step, last)


def _report(name: str, search: Search) -> None:
    failed = search.result.step <= 0
    print_if(
        failed,
        name + ": no step of those tried lowers the loss {value} enough, so none is taken. The "
        "slope along the updates is {slope}, which must be negative. Decrease error {decrease}, "
        "curvature error {curvature} after {count} trials, the last of {tried}.",
        value=search.start.value,
        slope=search.start.slope,
        decrease=search.decrease_error,
        curvature=search.curvature_error,
        count=search.count,
        tried=search.tried,
    )
    print_if(
        ~failed & (jnp.maximum(search.decrease_error, search.curvature_error) > 0),
        name + ": the step {step} lowers the loss from {value} to {new}, but the last of {count} "
        "trials, {tried}, missed a condition: decrease error {decrease}, curvature error "
        "{curvature}.",
        step=search.result.step,
        value=search.start.value,
        new=search.result.value,
        count=search.count,
        tried=search.tried,
        decrease=search.decrease_error,
        curvature=search.curvature_error,
    )


@transformation
def scale_by_zoom_linesearch(
    max_linesearch_steps: PositiveInt,
    max_learning_rate: Annotated[Numeric, Interval(0.0, open_low=True, infinite=True)]
    | None = None,
    tol: NonNegative = 0.0,
    increase_factor: Annotated[Numeric, Interval(1.0, open_low=True)] = 2.0,
    slope_rtol: NonNegative = 1e-4,
    curv_rtol: Threshold = 0.9,
    approx_dec_rtol: NonNegative | None = 1e-6,
    stepsize_precision: NonNegative = 1e-5,
    initial_guess_strategy: Literal["one", "keep"] = "keep",
    verbose: bool = False,
) -> GradientTransformation:
    """Scale the updates by a step that satisfies the strong Wolfe conditions.

    With f the loss at the parameters w, u the updates that arrive, f(a) the loss at w + a u, and
    f'(a) its slope there, a is such that

        f(a) <= f(0) + slope_rtol a f'(0)         sufficient decrease
        |f'(a)| <= curv_rtol |f'(0)|              small slope

    both up to `tol`. Where f(a) <= f(0) + approx_dec_rtol |f(0)| the first may also hold in the
    form f'(a) <= (2 slope_rtol - 1) f'(0): close to a minimum differences of f are lost in
    rounding, those of f' are not.

    First the step grows by `increase_factor` until an interval with a good step is found, then the
    interval shrinks: to the minimum of a cubic, of a parabola, or to its middle. Each trial costs
    one value and one gradient. If the trials run out, or the interval gets shorter than
    `stepsize_precision`, the best step with sufficient decrease is taken; if there is none, the
    last one if it does not raise f beyond approx_dec_rtol |f(0)|; else the update is 0.

    `update` needs `value` and `grad`, the loss and its gradient at w, and `value_fn`, a function
    params -> loss. Those extra arguments of update that `value_fn` takes by name are passed on to
    it. It gets the parameters of all leaves, also where this stands inside `masked` or `partition`
    and moves some of them. u must descend: chain this behind `sgd(1.0)` or `scale(-1.0)`. What
    stands behind this in a chain changes the step, and value and grad in the state are then not
    those at the new parameters.

    Shapes: any; the state keeps one gradient.
    Units: those of u.

    Args:
        max_linesearch_steps: Most trials in one step, an integer of at least 1.
        max_learning_rate: Longest step, above 0; None for no limit.
        tol: By how much both conditions may be missed, in [0, inf).
        increase_factor: Growth of the step while no interval is found, above 1.
        slope_rtol: Part of the decrease that the slope promises, in [0, inf), usually far below
            `curv_rtol`.
        curv_rtol: Part of the slope that may be left, in [0, inf]; inf for no such condition, and
            then this is a backtracking search that interpolates.
        approx_dec_rtol: Relative rise of f up to which slopes decide, in [0, inf); None for the
            first form alone.
        stepsize_precision: Length of the interval below which a step with sufficient decrease
            will do, in [0, inf).
        initial_guess_strategy: The first step tried: "keep" for the one of the update before,
            "one" for 1, as quasi-Newton methods want it.
        verbose: Whether to print why, where a condition could not be met.

    Returns:
        The transformation, with a `ScaleByZoomLinesearchState`, from which
        `value_and_grad_from_state` takes value and gradient for the next update. To
        differentiation the step is a constant.

    Raises:
        ValueError: If an argument is outside its range; on update, if the parameters are missing
            or `value` is not one number.
        TypeError: On update, if an extra argument is missing, or `value_fn` lacks an argument or
            returns no real scalar.

    Source: Nocedal, Wright 2006, https://doi.org/10.1007/978-0-387-40065-5, Algorithms 3.5 and
        3.6; Hager, Zhang 2006, https://doi.org/10.1145/1132973.1132979, for the
        approximate condition.
    Differs: the interval's trial points are SciPy's. Optax takes a step that raises the loss where
        it finds none that lowers it; extra arguments that `value_fn` does not take are ignored.
        For complex parameters `grad` is the conjugate of what jax.grad returns, as the updates of
        every transformation are; the state has the gradient as jax.grad returns it.
    """
    name = "scale_by_zoom_linesearch"
    if initial_guess_strategy not in _STRATEGIES:
        raise ValueError(
            f"{name}: `initial_guess_strategy` must be 'one' or 'keep', but is "
            f"{initial_guess_strategy!r}."
        )
    limits = Limits(
        max_linesearch_steps,
        max_learning_rate,
        tol,
        increase_factor,
        slope_rtol,
        curv_rtol,
        approx_dec_rtol,
        stepsize_precision,
    )
    return from_body(_ZoomLinesearch(name, limits, initial_guess_strategy == "keep", verbose))
