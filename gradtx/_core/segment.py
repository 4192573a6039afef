"""Segments: what a fused function is keyed by, that is everything but the numbers."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from .rule import Rule


@dataclasses.dataclass(frozen=True)
class Part:
    """One rule in a segment: everything about it that is not a number.

    Attributes:
        name: The constructor's name, for messages and profiles.
        rule: The rule.
        static: Static arguments by name.
        dtypes: Storage dtypes by field, where they differ from the dtype of the arithmetic.
    """

    name: str
    rule: Rule
    static: tuple[tuple[str, Any], ...] = ()
    dtypes: tuple[tuple[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Segment:
    """Rules that run as one function per array.

    Attributes:
        parts: The rules that take part.
        ops: What happens to an array, in order: ("rule", i) runs part i, ("begin", i) only
            accumulates and measures, ("finish", i) only updates, and
            ("merge", f, (ops, ...)) merges branches of the same update.
        numbers: For each part the names of its hyperparameters, in the order they are packed.
    """

    parts: tuple[Part, ...]
    ops: tuple
    numbers: tuple[tuple[str, ...], ...]

    @property
    def begins(self) -> tuple[int, ...]:
        """The parts whose `shared` runs before this segment."""
        return tuple(i for i in range(len(self.parts)) if i != self.concludes)

    @property
    def concludes(self) -> int | None:
        """The part whose totals were taken by the segment before."""
        return self.ops[0][1] if self.ops and self.ops[0][0] == "finish" else None

    @property
    def measures(self) -> int | None:
        """The part whose totals are taken by this segment."""
        return self.ops[-1][1] if self.ops and self.ops[-1][0] == "begin" else None

    @property
    def changes_updates(self) -> bool:
        """Whether an array comes out other than it went in."""
        return any(op[0] != "begin" for op in self.ops)

    @property
    def reads_params(self) -> bool:
        """Whether a rule of the segment reads the parameters."""
        return any(part.rule.params for part in self.parts)

    @property
    def random(self) -> bool:
        """Whether a rule of the segment draws random numbers."""
        return any(part.rule.random for part in self.parts)

    @property
    def shareable(self) -> bool:
        """Whether all functions stand at module level, so that any instance may share traces.

        A closure may hold a traced value: what was traced of it belongs to its instance.
        """
        return all(_is_plain(f) for part in self.parts for f in _functions(part)) and all(
            _is_plain(f) for f in _merges(self.ops)
        )


def _functions(part: Part) -> list[Callable]:
    values = [getattr(part.rule, f.name) for f in dataclasses.fields(part.rule)]
    return [v for v in (*values, *(v for _, v in part.static)) if isinstance(v, Callable)]


def _merges(ops: tuple) -> Iterator[Callable]:
    for op in ops:
        if op[0] == "merge":
            yield op[1]
            for branch in op[2]:
                yield from _merges(branch)


def _is_plain(f: Callable) -> bool:
    f = inspect.unwrap(f)  # of jit, custom_jvp and decorators that say what they wrap
    no_closure = getattr(f, "__closure__", f) is None
    return isinstance(f, type) or (no_closure and "<" not in f.__qualname__)
