"""Bodies made of other transformations: one after the other, and side by side."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax

from . import leaves
from .array import merge_arrays
from .body import Body, Inside, Plan, run, start
from .flow import Flow
from .stage import FusedStage
from .state import what_holds_it


class Composite(Body):
    """A body made of other transformations, its state a tuple of theirs or a dict by name."""

    name: str
    children: tuple[Any, ...]
    names: tuple[str, ...] | None
    any_shape = True

    @functools.cached_property
    def bodies(self) -> tuple[Body, ...]:
        """The bodies of the children."""
        return tuple(child.update.body for child in self.children)

    @property
    def insides(self) -> list[Body]:
        return list(self.bodies)

    def parts(self) -> Iterator[tuple[str, Any]]:
        labels = self.names or ("",) * len(self.children)
        return iter(zip(labels, self.children, strict=True))

    def states_of(self, state: Any) -> list:
        """The children's states in order, or an error if the state is not of this body."""
        names = self.names
        if names is None and type(state) is tuple and len(state) == len(self.children):
            return list(state)
        if names is not None and isinstance(state, dict) and set(state) == set(names):
            return [state[name] for name in names]
        expected = f"a tuple of {len(self.children)} states"
        if names is not None:
            expected = f"a dict with the keys {list(names)}"
        raise ValueError(
            f"{self.name}: its state must be {expected}, but is {_describe_state(state)}. "
            f"{what_holds_it(state) or 'Was the state made by init() of another optimizer?'}"
        )

    def inner_states(self, state: Any) -> list[Inside]:
        labels = self.names or ("",) * len(self.children)
        return [Inside(*x) for x in zip(labels, self.bodies, self.states_of(state), strict=True)]

    def with_inner_states(self, state: Any, states: list) -> Any:
        del state
        return tuple(states) if self.names is None else dict(zip(self.names, states, strict=True))

    def flatten_state(self, state: Any) -> list:
        states = self.states_of(state)
        return [
            x for body, s in zip(self.bodies, states, strict=True) for x in body.flatten_state(s)
        ]

    def unflatten_state(self, slots: list) -> Any:
        states, at = [], 0
        for body in self.bodies:
            states.append(body.unflatten_state(slots[at : at + body.width]))
            at += body.width
        return self.with_inner_states(None, states)


def _describe_state(state: Any) -> str:
    if isinstance(state, dict):
        return f"a dict with the keys {list(state)}"
    if type(state) is tuple:
        return f"a tuple of {len(state)}: ({', '.join(type(s).__name__ for s in state)})"
    return leaves.with_article(type(state).__name__)


@dataclasses.dataclass(eq=False)
class Sequence(Composite):
    """Transformations one after the other; with `names` the state is a dict."""

    name: str
    children: tuple[Any, ...]
    names: tuple[str, ...] | None = None

    @functools.cached_property
    def width(self) -> int:
        return sum(body.width for body in self.bodies)

    @functools.cached_property
    def keeps_zero(self) -> bool:
        return all(body.keeps_zero for body in self.bodies)

    def resting(self, flow: Flow) -> list[bool]:
        column = [False] * len(flow.leaves)
        for body in self.bodies:
            rows = zip(body.resting(flow), column, strict=True)
            column = [rests or (rested and body.keeps_zero) for rests, rested in rows]
        return column

    def left_out(self, flow: Flow) -> list[bool]:
        column = [False] * len(flow.leaves)
        for body in self.bodies:
            rows = zip(body.left_out(flow), body.resting(flow), column, strict=True)
            column = [out or (before and (rests or body.keeps_zero)) for out, rests, before in rows]
        return column

    def emit(self, plan: Plan) -> None:
        for body in self.bodies:
            body.emit(plan)


@dataclasses.dataclass(eq=False)
class Branches(Composite):
    """Several transformations of the same updates, merged array by array."""

    name: str
    children: tuple[Any, ...]
    merge: Callable
    names: tuple[str, ...] | None = None

    @functools.cached_property
    def fused(self) -> list[FusedStage] | None:
        """The branches if all of them are leafwise, so that the merge fuses too; else None."""
        stages = [body.plan.leafwise for body in self.bodies]
        return None if None in stages else stages  # type: ignore[return-value]

    @functools.cached_property
    def width(self) -> int:
        return 1 if self.fused is None else sum(body.width for body in self.bodies)

    def flatten_state(self, state: Any) -> list:
        return [state] if self.fused is None else super().flatten_state(state)

    def unflatten_state(self, slots: list) -> Any:
        return slots[0] if self.fused is None else super().unflatten_state(slots)

    def emit(self, plan: Plan) -> None:
        if self.fused is None:
            plan.whole_tree(self)
        else:
            plan.merge(self.merge, self.fused)

    def init(self, flow: Flow) -> Any:
        return tuple(start(body, flow) for body in self.bodies)

    def update(self, flow: Flow, state: Any) -> Any:
        results, states, branches = [], [], []
        for body, child_state in zip(self.bodies, self.states_of(state), strict=True):
            branch = flow.branch()
            states.append(run(body, branch, child_state))
            results.append(branch.leaves)
            branches.append(branch)
        flow.hear_of(branches)
        columns = list(zip(*results, strict=True))
        flow.leaves = [
            self._merged(flow, index, arrays) if flow.trainable[index] else arrays[0]
            for index, arrays in enumerate(columns)
        ]
        return tuple(states)

    @functools.cached_property
    def _merge_arrays(self) -> Callable:
        return jax.jit(functools.partial(merge_arrays, self.merge))

    def _merged(self, flow: Flow, index: int, arrays: tuple) -> Any:
        try:
            return self._merge_arrays(flow.leaves[index], *arrays)
        except Exception as error:
            error.add_note(f"gradtx: in {self.name} at {leaves.path_names(flow.tree)[index]}.")
            raise
