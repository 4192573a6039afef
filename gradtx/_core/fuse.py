"""Fusion: neighbouring rules become one function per array, behind one inner `jax.jit`.

A segment is a run of rules between two whole-tree numbers. Its program consists of a prelude,
run once per step (schedules, counts, bias corrections, totals), and a leaf function, run once
per array. Both are keyed by the functions and static arguments of the rules alone: every number
reaches them as an argument, so another learning rate compiles nothing.
"""

import collections
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from .array import LeafRun, init_states
from .flow import Flow
from .meter import metered
from .reduce import Split, axes_of, over_shards
from .segment import Segment

_PROGRAMS: collections.OrderedDict[Segment, "Program"] = collections.OrderedDict()
_MOST_PROGRAMS = 512


_OTHER_CACHES: list[Callable[[], None]] = []


def clear_caches() -> None:
    """Forget every traced and compiled function that gradtx keeps."""
    _PROGRAMS.clear()
    _total.clear_cache()  # pyright: ignore[reportAttributeAccessIssue]
    for clear in _OTHER_CACHES:
        clear()


def cleared_with_caches(clear: Callable[[], None]) -> None:
    """Have `clear_caches` call a function, too; for modules that keep compiled functions."""
    _OTHER_CACHES.append(clear)


def program_of(segment: Segment) -> "Program":
    """The compiled functions of a segment, shared by all equal segments where that is safe."""
    if not segment.shareable:
        return Program(segment)
    program = _PROGRAMS.get(segment)
    if program is None:
        program = _PROGRAMS[segment] = Program(segment)
        if len(_PROGRAMS) > _MOST_PROGRAMS:
            _PROGRAMS.popitem(last=False)
    else:
        _PROGRAMS.move_to_end(segment)
    return program


class Program:
    """The jitted functions of one segment."""

    def __init__(self, segment: Segment):
        self.segment = segment
        self.name = "__".join(part.name for part in segment.parts) or "cast"
        self._leaves: dict[Any, Callable] = {}
        self._inits: dict[Any, Callable] = {}
        self.layout: tuple[tuple[str, ...], ...] = segment.numbers
        self.prelude = jax.jit(self._named(self._prelude, "shared"))

    @property
    def needs_prelude(self) -> bool:
        """Whether any number has to be computed before the arrays are touched."""
        parts = self.segment.parts
        return self.segment.concludes is not None or any(
            parts[i].rule.shared is not None for i in self.segment.begins
        )

    def _named(self, function: Callable, suffix: str) -> Callable:
        def named(*args):
            return function(*args)

        named.__name__ = named.__qualname__ = f"{self.name}__{suffix}"
        return named

    def _prelude(self, constants, dynamic, states, totals, carried, extras):
        """Numbers for the leaves, packed in one vector; keys; the new whole-tree fields."""
        segment, packed, layout, keys, carry = self.segment, [], [], {}, {}
        states = dict(states)
        dtype = constants.dtype
        extras = {i: {k: _number(x, dtype) for k, x in d.items()} for i, d in extras.items()}
        at = 0
        for i, part in enumerate(segment.parts):
            numbers = dict(part.static)
            for name in segment.numbers[i]:
                given = dynamic.get((i, name))
                numbers[name] = constants[at] if given is None else given.astype(dtype)
                at += given is None
            names = list(segment.numbers[i])
            for hook in (self._shared, self._conclude):
                h = types.SimpleNamespace(**numbers, **carried.get(i, {}))
                more, states[i] = hook(i, states[i], h, totals, extras)
                if "key" in more:
                    keys[i] = more.pop("key")
                more = {k: jnp.asarray(v).astype(dtype) for k, v in more.items()}
                numbers |= more
                names += list(more)
            if i in carried:
                numbers |= carried[i]
                names += list(carried[i])
            if i == segment.measures:
                carry[i] = {n: numbers[n] for n in names if n not in segment.numbers[i]}
            packed += [numbers[n] for n in names]
            layout.append(tuple(names))
        self.layout = tuple(layout)
        return (_in_one_vector(packed) if packed else None), keys, states, carry

    def _shared(self, i, state, h, totals, extras):
        rule = self.segment.parts[i].rule
        if rule.shared is None or i == self.segment.concludes:
            return {}, state
        return rule.shared(state, h, types.SimpleNamespace(**extras.get(i, {})))

    def _conclude(self, i, state, h, totals, extras):
        if i != self.segment.concludes:
            return {}, state
        return self.segment.parts[i].rule.conclude(_Totals(**totals), state, h)

    def leaf(self, active: tuple[Any, ...], out_dtype: str | None, split: Split | None) -> Callable:
        """The function of one array.

        Its arguments are (numbers, keys, leaf id, update, parameter, states, trees), its results
        (update, states, measures).

        Args:
            active: For each part whether it applies to the array; for a rule with `per_leaf` what
                it is told of the leaf, or None.
            out_dtype: Dtype of the update, or None for that of the arithmetic.
            split: The mesh axes that the axes of the array are split over in a `shard_map`.
        """
        key = (active, out_dtype, split)
        if key not in self._leaves:

            def function(*arguments):
                run = LeafRun(self.segment, self.layout, active, split, arguments)
                return run.result(out_dtype)

            self._leaves[key] = jax.jit(self._named(function, "leaf"))
        return self._leaves[key]

    def metered(self, key: tuple, names: frozenset[str]) -> Callable:
        """The function of one array that measures what it returns, too: see `metered`.

        Args:
            key: The arguments of `leaf`.
            names: What to measure.
        """
        if (key, names) not in self._leaves:
            function = metered(self.leaf(*key), names)
            self._leaves[key, names] = jax.jit(self._named(function, "metered"))
        return self._leaves[key, names]

    def init(self, active: tuple[Any, ...], split: Split | None) -> Callable:
        """The function (numbers, parameter) -> the states of one array."""
        key = (active, split)
        if key not in self._inits:

            def function(numbers, p):
                return init_states(self.segment, active, split, numbers, p)

            self._inits[key] = jax.jit(self._named(function, "init"))
        return self._inits[key]


def _in_one_vector(numbers: list) -> jax.Array:
    """Numbers as one vector, which XLA takes apart again where a leaf function slices it.

    With explicit mesh axes `jnp.stack` would raise where some numbers are mapped by `vmap` over
    such an axis, and others are not.
    """
    if AxisType.Explicit not in jax.sharding.get_abstract_mesh().axis_types:
        return jnp.stack(numbers)
    places, vector = jnp.arange(len(numbers)), jnp.zeros(len(numbers), numbers[0].dtype)
    for place, number in enumerate(numbers):
        vector = jnp.where(places == place, number, vector)
    return vector


def _number(x, dtype):
    """A real number, in whatever dtype it was given, in that of the hyperparameters."""
    is_real = any(jnp.issubdtype(x.dtype, kind) for kind in (jnp.floating, jnp.integer))
    return x.astype(dtype) if is_real else x


class _Totals(types.SimpleNamespace):
    """Totals by name; of a tree without arrays every total is 0."""

    def __getattr__(self, name):
        return jnp.zeros([])


@jax.jit
def _total(parts, maxima):
    totals = {}
    for name, values in parts.items():
        stacked = jnp.stack(values)
        totals[name] = jnp.max(stacked) if name in maxima else jnp.sum(stacked)
    return totals


def total(
    measured: list[tuple[Split | None, dict]], maxima: tuple[str, ...], dtype
) -> dict[str, Any]:
    """The measures of all arrays combined.

    Args:
        measured: For each array over which mesh axes it is split, and its measures.
        maxima: Names of those that are combined by maximum; the others are summed.
        dtype: Dtype of the result.
    """
    if not measured:
        return {}
    groups: dict[tuple[str, ...], list[dict]] = {}
    for split, measures in measured:
        groups.setdefault(axes_of(split), []).append(measures)
    partial = []
    for axes, measures in groups.items():
        parts = {name: [m[name].astype(dtype) for m in measures] for name in measures[0]}
        sums = _total(parts, dict.fromkeys(maxima))
        partial.append({n: over_shards(x, axes, n in maxima) for n, x in sums.items()})
    if len(partial) == 1:
        return partial[0]
    parts = {name: [sums[name] for sums in partial] for name in partial[0]}
    return _total(parts, dict.fromkeys(maxima))


def total_over(flow: Flow, measure: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """The sum over all arrays of the updates of a real number that is itself a sum over entries.

    Args:
        flow: The updates.
        measure: array -> scalar, at module level.
    """
    columns = zip(flow.leaves, flow.splits, flow.trainable, strict=True)
    measured = [(split, {"sum": measure(g)}) for g, split, on in columns if on]
    return total(measured, (), jnp.result_type(float)).get("sum", jnp.zeros([]))
