"""Which parameter is transformed by what, and what is held for it, as text."""

import collections
import math
import re
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from . import leaves
from .body import Body, start_whole
from .composite import Branches, Sequence
from .flow import Flow
from .lifted import Lifted
from .paths import paths_of
from .state import typed_fields
from .wrap import Around

_WIDTH, _SHORT = 100, 40
_PASSES = "unchanged"
_RESTS = "frozen"


class _Row(NamedTuple):
    """What is said about one leaf."""

    path: str
    shape: str
    dtype: str
    group: str
    state: str
    applied: str


def explain(body: Body, params: Any) -> str:
    """The text that `GradientTransformation.explain` returns."""
    given, treedef = leaves.flatten(params)
    described = treedef.unflatten([_described(x) for x in given])
    flow = Flow("explain", described, None, {})
    held = _Held(flow)
    held.add(body, start_whole(body, flow), flow, ())
    groups, resting = groups_in(body, flow), body.resting(flow)
    rows_of = zip(_applied(body, flow), resting, strict=True)
    applied = [[_RESTS] if rests else row for row, rests in rows_of]
    rows = []
    for index, (path, leaf) in enumerate(zip(paths_of(params), given, strict=True)):
        if leaf is None:
            continue
        on = flow.trainable[index]
        what = ", ".join(applied[index]) or _PASSES
        rows.append(
            _Row(
                path or "(the whole tree)",
                str(list(flow.leaves[index].shape)) if on else "",
                jnp.dtype(flow.leaves[index].dtype).name if on else _kind(leaf),
                "/".join(groups[index]),
                _bytes(held.of_leaf[index]) if on else "",
                what if on else "not trained",
            )
        )
    rows, legend = _with_legend(_collapsed(rows))
    return "\n".join([*_table(rows), *legend, "", *_totals(flow, groups, applied, held)])


def _described(leaf: Any) -> Any:
    if not leaves.is_inexact(leaf) or leaves.is_abstract(leaf):
        return leaf
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))


def _kind(leaf: Any) -> str:
    return str(leaf.dtype) if hasattr(leaf, "dtype") else type(leaf).__name__


def groups_in(body: Body, flow: Flow) -> list[tuple[str, ...]]:
    """The names of the groups that each leaf is in, outermost first."""
    column: list[tuple[str, ...]] = [()] * len(flow.leaves)
    divided = body.groups_of(flow)
    if divided is None:
        for inside in body.insides:
            inner = groups_in(inside, flow)
            column = [(*ours, *theirs) for ours, theirs in zip(column, inner, strict=True)]
        return column
    for group in divided:
        name = () if group.label is None else (str(group.label),)
        inner = [()] * len(column)
        if group.body is not None:
            inner = groups_in(group.body, flow.restricted(group.kept))
        rows = zip(column, inner, group.kept, strict=True)
        column = [(*name, *i) if kept else old for old, i, kept in rows]
    return column


def _applied(body: Body, flow: Flow) -> list[list[str]]:
    """What is applied to each leaf, in order, by the names of the constructors."""
    if isinstance(body, Lifted):
        shown = [] if body.name == "identity" else [body.name]
        return [shown if on else [] for on in _mask(body, flow)]
    divided = body.groups_of(flow)
    if divided is not None:
        column: list[list[str]] = [[] for _ in flow.leaves]
        for group in divided:
            inner = [[_RESTS]] * len(column)
            if group.body is not None:
                inner = _applied(group.body, flow.restricted(group.kept))
            rows = zip(column, inner, group.kept, strict=True)
            column = [new if kept else old for old, new, kept in rows]
        return column
    parts = [_applied(inside, flow) for inside in body.insides]
    if isinstance(body, (Around, Sequence)):
        return [[name for part in row for name in part] for row in _rows(parts, flow)]
    if isinstance(body, Branches):
        rows = _rows(parts, flow)
        return [[f"{body.name}({' | '.join(', '.join(p) for p in row)})"] for row in rows]
    # A wrapper is named after its first part; others that it has inside say little of the leaf.
    return [
        [f"{body.name}({', '.join(row[0])})" if row and row[0] else body.name]
        for row in _rows(parts, flow)
    ]


def _rows(parts: list, flow: Flow) -> list[tuple]:
    return list(zip(*parts, strict=True)) if parts else [()] * len(flow.leaves)


def _mask(body: Lifted, flow: Flow) -> list[bool]:
    if body.where is None:
        return flow.trainable
    try:
        return [x is not None and x is not False for x in body.told(flow)]
    except (TypeError, ValueError):  # init took it: it stands where the leaves are others
        return flow.trainable


class _Held:
    """Bytes of the state: for each leaf, and by group those that are of no leaf."""

    def __init__(self, flow: Flow):
        self.of_leaf = [0] * len(flow.leaves)
        self.shared: dict[tuple[str, ...], int] = collections.Counter()

    def add(self, body: Body, state: Any, flow: Flow, group: tuple[str, ...]) -> None:
        """Add the state of a body."""
        insides, divided = body.inner_states(state), body.groups_of(flow)
        self._own(body.with_inner_states(state, [None] * len(insides)), flow, group)
        if divided is None:
            for inside in insides:
                self.add(inside.body, inside.state, flow, group)
            return
        moving = [part for part in divided if part.body is not None]
        for part, inside in zip(moving, insides, strict=True):
            name = () if part.label is None else (str(part.label),)
            self.add(inside.body, inside.state, flow.restricted(part.kept), (*group, *name))

    def _own(self, state: Any, flow: Flow, group: tuple[str, ...]) -> None:
        for column in self._columns(state, flow):
            if isinstance(column, list):
                for index, held in enumerate(column):
                    self.of_leaf[index] += _size(held)
            else:
                self.shared[group] += _size(column)

    def _columns(self, node: Any, flow: Flow) -> Iterator[Any]:
        """The parts of a state: those with an entry for each leaf as lists, others as they are."""
        fields = typed_fields(node)
        if fields is not None:
            for value, field in zip(node, fields.values(), strict=True):
                yield from (
                    self._aligned(value, flow) if field.per_param else self._inside(value, flow)
                )
        else:
            yield from self._inside(node, flow)

    def _aligned(self, value: Any, flow: Flow) -> Iterator[Any]:
        try:
            yield flow.treedef.flatten_up_to(value)
        except (TypeError, ValueError):  # leaves of another tree, such as one flat vector
            yield value

    def _inside(self, node: Any, flow: Flow) -> Iterator[Any]:
        given, treedef = leaves.flatten(node)
        if treedef == flow.treedef and _alike(given, flow):
            yield given
        elif isinstance(node, dict):
            for value in node.values():
                yield from self._columns(value, flow)
        elif isinstance(node, (tuple, list)):
            for value in node:
                yield from self._columns(value, flow)
        else:
            yield node


def _alike(given: list, flow: Flow) -> bool:
    """Whether what a state of unknown kind holds is shaped like the parameters."""
    pairs = [(x, p) for x, p in zip(given, flow.leaves, strict=True) if hasattr(x, "shape")]
    return bool(pairs) and all(x.shape == getattr(p, "shape", None) for x, p in pairs)


def _size(tree: Any) -> int:
    arrays = [x for x in jax.tree.leaves(tree) if hasattr(x, "shape") and hasattr(x, "dtype")]
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in arrays)


def _bytes(number: int) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.4g} {unit}" if unit != "B" else f"{number} B"
        number /= 1024  # type: ignore[assignment]
    raise AssertionError


def _collapsed(rows: list[_Row]) -> list[_Row]:
    """One row for all leaves that differ in the numbers of their path alone."""
    found: dict[_Row, list[_Row]] = {}
    for row in rows:
        found.setdefault(row._replace(path=re.sub(r"\d+", "*", row.path)), []).append(row)
    return [
        same._replace(path=f"{same.path} ({len(members)})") if len(members) > 1 else members[0]
        for same, members in found.items()
    ]


def _with_legend(rows: list[_Row]) -> tuple[list[_Row], list[str]]:
    """The rows, and what is applied as lines below them where it would make them too wide."""
    if max(map(len, _table(rows))) <= _WIDTH:
        return rows, []
    long = dict.fromkeys(row.applied for row in rows if len(row.applied) > _SHORT)
    marks = {text: f"({number + 1})" for number, text in enumerate(long)}
    legend = [line for text, mark in marks.items() for line in _wrapped(f"{mark} {text}")]
    rows = [row._replace(applied=marks.get(row.applied, row.applied)) for row in rows]
    return rows, ["", *legend]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="    ", break_long_words=False)


def _table(rows: list[_Row]) -> list[str]:
    head = _Row("path", "shape", "dtype", "group", "state", "applied")
    kept = [i for i in range(len(head)) if i != 3 or any(row.group for row in rows)]
    return _lines([[row[i] for i in kept] for row in (head, *rows)])


def _totals(flow: Flow, groups: list, applied: list, held: _Held) -> list[str]:
    trained = [i for i, on in enumerate(flow.trainable) if on]
    kinds = [(groups[i], applied[i][-1:] == [_RESTS]) for i in range(len(groups))]
    shared = [(name, False) for name, size in held.shared.items() if size]
    rows = [["group", "arrays", "numbers", "state"]]
    for name, rests in dict.fromkeys([*(kinds[i] for i in trained), *shared]):
        inside = [i for i in trained if kinds[i] == (name, rests)]
        also = 0 if rests else held.shared.get(name, 0)
        label = "/".join(name) or ("(the others)" if rests else "(no group)")
        rows.append(_total(label, inside, flow, held, also, rests))
    rows = rows if len(rows) > 2 else rows[:1]
    everything = _total("all", trained, flow, held, sum(held.shared.values()), False)
    return _lines([*rows, everything])


def _total(
    name: str, inside: list[int], flow: Flow, held: _Held, shared: int, rests: bool
) -> list[str]:
    numbers = sum(math.prod(flow.leaves[i].shape) for i in inside)
    total = sum(held.of_leaf[i] for i in inside) + shared
    return [name, f"{len(inside)}", f"{numbers:,}", _RESTS if rests else _bytes(total)]


def _lines(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
