"""What accumulations share: the mean of micro-steps, and the branch around the inner step."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from .._core.arguments import concrete_number, is_function
from .._core.body import Inside, run
from .._core.choice import step_if, update_if
from .._core.flow import Flow
from .._core.leaves import describe_leaf, is_traced
from .._core.lifted import Lifted
from .._core.rule import Rule
from .._core.wrap import Wrapper
from ..typing import PerParam


class Accumulated(NamedTuple):
    """The mean, or the sum, of the micro-steps so far."""

    acc_grads: PerParam


def _with_one_more(g, state, p, h):
    # A mean started anew where the last was used, not one multiplied by 0: inf * 0 would be nan.
    mean = jnp.where(h.first > 0, g, state.acc_grads + (g - state.acc_grads) * h.share)
    return g, state._replace(acc_grads=jnp.where(h.skip > 0, state.acc_grads, mean))


def _with_one_more_summed(g, state, p, h):
    total = jnp.where(h.first > 0, g, state.acc_grads + g)
    return g, state._replace(acc_grads=jnp.where(h.skip > 0, state.acc_grads, total))


MEAN = Rule(_with_one_more, state=Accumulated)
SUM = Rule(_with_one_more_summed, state=Accumulated)


@dataclasses.dataclass(eq=False)
class Accumulating(Wrapper):
    """A transformation that steps once for several gradients.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        every: Micro-steps in a step: a number, or a function of the step count.
        rule: What becomes of the accumulator in a micro-step.
        dtype: Storage dtype of the accumulator, or None.
    """

    inner: Any
    every: int | Callable[..., Any]
    rule: Rule
    dtype: Any
    moves_as_inside: ClassVar[bool] = True

    def collected(self, flow: Flow, state: Any) -> tuple[Any, Any, dict[str, Any]]:
        """Whether inner is to step, the state before that, and the extra arguments for inner.

        The flow then has the accumulated gradients.
        """
        raise NotImplementedError

    def counted(self, state: Any, taken: Any) -> Any:
        """The state when it is known whether inner has made a step."""
        del taken
        return state

    def update(self, flow: Flow, state: Any) -> Any:
        def act(complete: Any, inside: Inside) -> tuple[None, Any]:
            return None, update_if(complete, inside.body, flow, inside.state, otherwise="zero")

        return self._run(flow, state, act)[1]

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        return self._run(
            flow,
            state,
            lambda complete, inside: step_if(complete, inside.body, flow, inside.state),
        )

    def _run(self, flow: Flow, state: Any, act: Callable[..., Any]) -> tuple[Any, Any]:
        complete, state, extra = self.collected(flow, state)
        (inside,), given, before = self.inner_states(state), flow.extra, flow.taken
        flow.extra, flow.taken = extra, True
        result, inner = act(complete, inside)
        state = self.counted(state, flow.taken)
        flow.extra, flow.taken = given, flow.taken if before is True else before & flow.taken
        return result, self.with_inner_states(state, [inner])

    def accumulator(self, **numbers: Any) -> Lifted:
        """The rule with its numbers: `first`, `share` and `skip`."""
        asked = {name: jnp.asarray(x, float) for name, x in numbers.items()}
        return Lifted(self.name, self.rule, asked, {}, {"acc_grads": self.dtype})

    def with_one_more(self, flow: Flow, acc_grads: Any, **numbers: Any) -> Any:
        """The accumulator after the updates of a flow, which are then what is in it."""
        state = run(self.accumulator(**numbers), flow.branch(), Accumulated(acc_grads))
        column = flow.column(state.acc_grads, self.name, "acc_grads")
        made = zip(column, flow.leaves, flow.trainable, strict=True)
        flow.leaves = [a if on else g for a, g, on in made]
        return state.acc_grads

    def steps(self, argument: str, count: Any) -> Any:
        """Micro-steps in the step after `count` others."""
        if isinstance(self.every, int):
            return self.every
        steps = self.every(count)
        if jnp.shape(steps) != ():
            raise TypeError(
                f"{self.name}: `{argument}` must return one number of micro-steps, but "
                f"returned {describe_leaf(steps)}."
            )
        if is_traced(steps):
            return steps
        number = concrete_number(steps)
        if number is None or not number.is_integer():
            raise TypeError(
                f"{self.name}: `{argument}` must return an integer, but returned "
                f"{describe_leaf(steps)}."
            )
        if number < 1:
            raise ValueError(
                f"{self.name}: `{argument}` must return at least 1, but returned {int(number)}."
            )
        return int(number)


def as_every(owner: str, argument: str, every: Any) -> int | Callable[..., Any]:
    """Micro-steps in a step as a Python integer of at least 1 or a function, or an error."""
    if is_function(every):
        return every
    number = concrete_number(every)
    if number is None or not number.is_integer():
        raise TypeError(
            f"{owner}: `{argument}` must be an integer or a function of the step, but is {every!r}."
        )
    if number < 1:
        raise ValueError(f"{owner}: `{argument}` must be at least 1, but is {int(number)}.")
    return int(number)
