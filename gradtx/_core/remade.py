"""Transformations that are made anew, at each step, of numbers in their state."""

import contextlib
import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from .arguments import concrete_number
from .body import Body, Purpose, run, step
from .flow import Flow
from .leaves import is_traced
from .lifted import Lifted
from .live import Exact, Known, live
from .rule import DecayNumber, expand
from .wrap import Wrapper, map_rules_of

# What to make a transformation of, by name, and what of it is known beyond the arrays.
Numbers = tuple[dict[str, Any], Sequence[tuple[Any, Known]]]


@dataclasses.dataclass(eq=False)
class Remade(Wrapper):
    """A body whose transformation is made anew of the numbers in its state.

    Attributes:
        changes: What to do to the rules of what it makes.
    """

    changes: tuple[Callable[[Lifted], Lifted], ...] = dataclasses.field(default=(), kw_only=True)
    moves_as_inside: ClassVar[bool] = True

    @abstractmethod
    def at_step(self, flow: Flow, state: Any, act: Callable[[Body, Any], Any]) -> Any:
        """What `act` returns of the body of this step and its state, and the new state."""
        raise NotImplementedError

    @abstractmethod
    def made_of(self, state: Any) -> contextlib.AbstractContextManager[Any]:
        """The transformation of the numbers in a state, to be used inside the context."""
        raise NotImplementedError

    def with_children(self, children: tuple[Any, ...]) -> Body:
        raise TypeError(f"{self.name}: what it makes anew at each step cannot be replaced.")

    def with_rules(self, change: Callable[[Lifted], Lifted]) -> Body:
        return dataclasses.replace(self, changes=(*self.changes, change))

    def changed(self, tx: Any) -> Any:
        """What was made, with its rules changed."""
        for change in self.changes:
            tx = map_rules_of(tx, change)
        return tx

    def update(self, flow: Flow, state: Any) -> Any:
        casting = flow.casting
        _, state = self.at_step(
            flow, state, lambda body, inner: (None, run(body, flow, inner, outermost=casting))
        )
        return state

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        return self.at_step(flow, state, lambda body, inner: step(body, flow, inner))

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        with self.made_of(state) as inner:
            return inner.update.body.point(purpose, state.inner_state, params)

    @contextlib.contextmanager
    def remade(
        self,
        make: Callable[[dict[str, Any]], Any],
        read: Callable[[], Numbers],
        known: list[Any] | None = None,
    ) -> Generator[Any]:
        """The transformation of some numbers, to be used inside the context.

        Args:
            make: Numbers by name -> the transformation.
            read: Gives the numbers.
            known: The arrays that they are of. If they are those of the last time, so is the
                transformation. None to make it in any case, and to keep nothing.
        """
        last = None if known is None else self.__dict__.get("_last")
        if last is not None and all(a is b for a, b in zip(last[0], known or (), strict=True)):
            _, numbers, inner = last
        else:
            numbers, inner = read(), None
        with live(numbers[1]):
            if inner is None:
                inner = self.changed(make(numbers[0]))
                # `vmap` and `grad` outside of jit trace what they go over alone.
                if known is not None and not (is_in_trace() or any(map(is_traced, known))):
                    self.__dict__["_last"] = known, numbers, inner
            yield inner


def is_in_trace() -> bool:
    """Whether this is inside a trace, where even zeros are traced and nothing may be kept."""
    return is_traced(jnp.zeros([]))


def exact_of_number(number: Any) -> Exact:
    """What goes with a decay, taken of it in float64 where it is known."""
    _, one_minus, log = expand("b", DecayNumber(number)).values()
    return Exact(one_minus, log)


def exact_if_still(value: Any, start: Any) -> Known:
    """What goes with an array if it is a decay and still what it was made of, as far as one sees.

    Any other value counts as it is in the array, and so do those of less than 32 bits, where the
    decay itself would not fit to what goes with it. Derivatives are those of 1 - b and log b.

    Args:
        value: The array.
        start: The number that it was made of at first.
    """
    dtype = getattr(value, "dtype", None)
    number = concrete_number(start) if dtype in (np.float32, np.float64) else None
    if number is None:
        return None
    rounded = float(np.asarray(number, dtype))
    if not is_traced(value):
        return exact_of_number(number) if float(value) == rounded else None

    def exact() -> Exact:
        def nearer(taken: Any, known: float) -> Any:
            missing = jnp.where(value == rounded, known - taken, jnp.zeros_like(taken))
            return taken + jax.lax.stop_gradient(missing) if np.isfinite(known) else taken

        return Exact(*map(nearer, exact_of_number(value), exact_of_number(number)))

    return exact
