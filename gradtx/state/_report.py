"""What became of every array of a state."""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from .._core.paths import collapsed

_MOST_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of every array, by names as `export` has them. It prints as a summary.

    Attributes:
        restored: Arrays that were taken over, those of `renamed`, `cast` and `grown` included.
        renamed: {name: saved name} of those that were taken from another name.
        cast: {name: (dtype saved, dtype now)} of those in another dtype.
        grown: {name: (shape before, shape now)} of those that hold the old array as a block.
        missing: Arrays that were not there and start as `init` has them.
        counted: {name: value} of step counts that were not there and got a number.
        reshaped: {name: (shape saved, shape now)} of those that start as `init` has them because
            what was there has another shape.
        skipped: Arrays that start as `init` has them because that was asked for.
        extra: Saved arrays that were dropped.
        hints: What might be meant by the differences, as sentences.
    """

    restored: tuple[str, ...] = ()
    renamed: dict[str, str] = dataclasses.field(default_factory=dict)
    cast: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    grown: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = dataclasses.field(
        default_factory=dict
    )
    missing: tuple[str, ...] = ()
    counted: dict[str, int] = dataclasses.field(default_factory=dict)
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = dataclasses.field(
        default_factory=dict
    )
    skipped: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every array was taken over as it was, and none was left."""
        changes = (self.renamed, self.cast, self.grown, self.counted, self.reshaped)
        return not any(changes) and not (self.missing or self.skipped or self.extra)

    def __str__(self) -> str:
        total = len(self.restored) + len(self.missing) + len(self.counted)
        total += len(self.reshaped) + len(self.skipped)
        lines = [f"{len(self.restored)} of {total} arrays taken over"]
        counted = [f"{name} = {value}" for name, value in self.counted.items()]
        parts = (
            ("from other names", self.renamed, _renamings(self.renamed)),
            ("in another dtype", self.cast, changes(self.cast)),
            ("grown", self.grown, changes(self.grown)),
            ("not there, start anew", self.missing, some(self.missing)),
            ("step counts set", self.counted, counted),
            ("of another shape, start anew", self.reshaped, changes(self.reshaped)),
            ("start anew as asked", self.skipped, some(self.skipped)),
            ("dropped", self.extra, some(self.extra)),
        )
        for title, items, shown in parts:
            if items:
                lines += [f"  {title} ({len(items)}):", *(f"    {line}" for line in shown)]
        lines += [f"  {hint}" for hint in self.hints]
        return "\n".join(lines)


def some(items: Iterable[str], tails: Mapping[str, str] | None = None) -> list[str]:
    """Names in a message: those that differ in numbers alone as one, and not all of many.

    Args:
        items: The names.
        tails: What to say behind each; what is said alike of all is said once.
    """
    by_tail: dict[str, list[str]] = {}
    for name in items:
        by_tail.setdefault("" if tails is None else tails[name], []).append(name)
    shown = [
        (name if len(members) == 1 else f"{name} ({len(members)})") + tail
        for tail, names in by_tail.items()
        for name, members in collapsed(names).items()
    ]
    more = len(shown) - _MOST_SHOWN
    return [*shown[:_MOST_SHOWN], f"and {more} more"] if more > 1 else shown


def _renamings(renamed: Mapping[str, str]) -> list[str]:
    """Names with those that they had, in a message; where numbers changed each for itself."""
    alike: list[str] = []
    others: list[str] = []
    for name, saved in renamed.items():
        same = re.findall(r"\d+", name) == re.findall(r"\d+", saved)
        (alike if same else others).append(f"{name} <- {saved}")
    more = len(others) - _MOST_SHOWN
    shown = [*others[:_MOST_SHOWN], f"and {more} more"] if more > 1 else others
    return [*some(alike), *shown]


def changes(changed: Mapping[str, tuple]) -> list[str]:
    """Names with what was and what is now, in a message."""
    return some(changed, {name: f": {before} -> {now}" for name, (before, now) in changed.items()})
