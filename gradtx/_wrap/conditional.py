"""Transformations that act on some steps only."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import jax.numpy as jnp

from .._core.arguments import is_function
from .._core.body import start
from .._core.choice import step_if, update_if
from .._core.flow import Flow
from .._core.leaves import describe_leaf
from .._core.numerics import safe_increment
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state, first_count
from ..typing import InnerState, Tally


class ConditionFn(Protocol):
    """(step, **extra) -> boolean scalar: whether the transformation acts at this step."""

    def __call__(self, step: Any, **extra_args: Any) -> Any:
        """Whether to act; `step` counts the calls of `update` before this one."""
        ...


class ConditionallyTransformState(NamedTuple):
    """The state of the wrapped transformation, and the number of calls."""

    inner_state: InnerState
    step: Tally


class ConditionallyMaskState(NamedTuple):
    """Number of calls, and the state of the wrapped transformation."""

    step: Tally
    inner_state: InnerState


@dataclasses.dataclass(eq=False)
class _Conditional(Wrapper):
    """A transformation that acts where a condition on the step holds.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        condition: The condition.
        forward_extra: Whether the condition gets the extra arguments.
        state_type: Class of the state.
        otherwise: What the updates are at the other steps, "zero" or "unchanged".
    """

    inner: Any
    condition: Callable[..., Any]
    forward_extra: bool
    state_type: ClassVar[Any]
    otherwise: ClassVar[str]

    @property
    def takes_any(self) -> bool:
        return self.forward_extra

    def init(self, flow: Flow) -> Any:
        inner_state = start(self.inner.update.body, flow)
        return self.state_type(inner_state=inner_state, step=first_count(flow))

    def update(self, flow: Flow, state: Any) -> Any:
        state = check_state(self.name, self.state_type, state)
        inner_state = update_if(
            self._holds(flow, state.step),
            self.inner.update.body,
            flow,
            state.inner_state,
            otherwise=self.otherwise,
        )
        return self.state_type(inner_state=inner_state, step=safe_increment(state.step))

    def _holds(self, flow: Flow, count: Any) -> Any:
        holds = self.condition(count, **(flow.extra if self.forward_extra else {}))
        if jnp.shape(holds) != () or jnp.result_type(holds) != jnp.bool_:
            raise TypeError(
                f"{self.name}: `should_transform_fn` must return one boolean, but returned "
                f"{describe_leaf(holds)}."
            )
        return holds


@dataclasses.dataclass(eq=False)
class _Transform(_Conditional):
    state_type: ClassVar[Any] = ConditionallyTransformState
    otherwise: ClassVar[str] = "unchanged"


@dataclasses.dataclass(eq=False)
class _Mask(_Conditional):
    state_type: ClassVar[Any] = ConditionallyMaskState
    otherwise: ClassVar[str] = "zero"

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        state = check_state(self.name, self.state_type, state)
        holds = self._holds(flow, state.step)
        params, inner_state = step_if(holds, self.inner.update.body, flow, state.inner_state)
        return params, self.state_type(inner_state=inner_state, step=safe_increment(state.step))


@transformation
def conditionally_transform(
    inner: Any, should_transform_fn: Any, forward_extra_args: bool = False
) -> GradientTransformation:
    """Transform the updates at some steps, and pass them on unchanged at the others.

    u = inner(g) if should_transform_fn(count), else g; the state of inner moves in the first case
    only. `count` is 0 first and counts all steps.

    Shapes: any.
    Units: those of inner.

    Args:
        inner: The transformation.
        should_transform_fn: count -> boolean scalar, such as `lambda count: count % 10 == 0`.
        forward_extra_args: Whether it gets the extra arguments of `update`, too, as keywords.

    Returns:
        The transformation, with a `ConditionallyTransformState`.

    Raises:
        TypeError: If `inner` is no transformation or `should_transform_fn` no function; on update,
            if that returns no boolean scalar.
    """
    return from_body(
        _Transform(
            *_checked("conditionally_transform", inner, should_transform_fn), forward_extra_args
        )
    )


@transformation
def conditionally_mask(
    inner: Any, should_transform_fn: Any, forward_extra_args: bool = False
) -> GradientTransformation:
    """Transform the updates at some steps, and set them to zero at the others.

    u = inner(g) if should_transform_fn(count), else 0; the state of inner moves in the first case
    only. `count` is 0 first and counts all steps. `step` does not touch the parameters at the other
    steps.

    Shapes: any.
    Units: those of inner.

    Args:
        inner: The transformation.
        should_transform_fn: count -> boolean scalar, such as `lambda count: count % 10 == 0`.
        forward_extra_args: Whether it gets the extra arguments of `update`, too, as keywords.

    Returns:
        The transformation, with a `ConditionallyMaskState`.

    Raises:
        TypeError: If `inner` is no transformation or `should_transform_fn` no function; on update,
            if that returns no boolean scalar.
    """
    return from_body(
        _Mask(*_checked("conditionally_mask", inner, should_transform_fn), forward_extra_args)
    )


def _checked(name: str, inner: Any, condition: Any) -> tuple[str, Any, Any]:
    if not is_function(condition):
        raise TypeError(
            f"{name}: `should_transform_fn` must be a function of the step, but is {condition!r}."
        )
    return name, as_transformation(inner, name), condition
