"""Fusion: neighbouring rules become one function per array, behind one inner `jax.jit`.

A segment is a run of rules between two whole-tree numbers. Its program consists of a prelude,
run once per step (schedules, counts, bias corrections, totals), and a leaf function, run once
per array. Both are keyed by the functions and static arguments of the rules alone: every number
reaches them as an argument, so another learning rate compiles nothing.
"""

import collections
import dataclasses
import inspect
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .numerics import accumulator_dtype, with_precision_of
from .rule import Rule
from .state import cast_like, start_of_param


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


def _functions(part: Part):
    values = [getattr(part.rule, f.name) for f in dataclasses.fields(part.rule)]
    return [v for v in (*values, *(v for _, v in part.static)) if isinstance(v, Callable)]


def _merges(ops):
    for op in ops:
        if op[0] == "merge":
            yield op[1]
            for branch in op[2]:
                yield from _merges(branch)


def _is_plain(f: Callable) -> bool:
    f = inspect.unwrap(f)  # of jit, custom_jvp and decorators that say what they wrap
    no_closure = getattr(f, "__closure__", f) is None
    return isinstance(f, type) or (no_closure and "<" not in f.__qualname__)


_PROGRAMS: collections.OrderedDict[Segment, "Program"] = collections.OrderedDict()
_MOST_PROGRAMS = 512


def clear_caches() -> None:
    """Forget every traced and compiled function that gradtx keeps."""
    _PROGRAMS.clear()
    _total.clear_cache()


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
        return (jnp.stack(packed) if packed else None), keys, states, carry

    def _shared(self, i, state, h, totals, extras):
        rule = self.segment.parts[i].rule
        if rule.shared is None or i == self.segment.concludes:
            return {}, state
        return rule.shared(state, h, types.SimpleNamespace(**extras.get(i, {})))

    def _conclude(self, i, state, h, totals, extras):
        if i != self.segment.concludes:
            return {}, state
        return self.segment.parts[i].rule.conclude(_Totals(totals), state, h)

    def leaf(self, active: tuple[bool, ...], out_dtype: str | None) -> Callable:
        """The function of one array.

        Its arguments are (numbers, keys, leaf id, update, parameter, states), its results
        (update, states, measures).

        Args:
            active: For each part whether it applies to the array.
            out_dtype: Dtype of the update, or None for that of the arithmetic.
        """
        key = (active, out_dtype)
        if key not in self._leaves:

            def function(numbers, keys, leaf_id, g, p, states):
                run = _LeafRun(self, active, numbers, keys, leaf_id, g, p, states)
                return run.result(out_dtype)

            self._leaves[key] = jax.jit(self._named(function, "leaf"))
        return self._leaves[key]

    def init(self, active: tuple[bool, ...]) -> Callable:
        """The function (numbers, parameter) -> the states of one array."""
        if active not in self._inits:

            def function(numbers, p):
                wide, h = _wide(p), _unpack(self.segment.numbers, numbers, self.segment.parts, p)
                return tuple(
                    _init_part(part, wide, p, h_i) if on else None
                    for part, h_i, on in zip(self.segment.parts, h, active, strict=True)
                )

            self._inits[active] = jax.jit(self._named(function, "init"))
        return self._inits[active]


class _Totals(dict):
    """Totals by name; of a tree without arrays every total is 0."""

    def __missing__(self, name):
        return jnp.zeros([])


def _init_part(part: Part, wide, p, h) -> tuple:
    given = part.rule.init(wide, h) if part.rule.init is not None else {}
    dtypes = dict(part.dtypes)
    values = []
    for name in part.rule.per_param_fields:
        value = given.pop(name) if name in given else start_of_param(part.rule.fields[name], wide)
        if dtypes.get(name) is not None:
            value = jax.tree.map(lambda x, d=dtypes[name]: x.astype(d), value)
        values.append(jax.tree.map(lambda x: _own(jnp.asarray(x), wide, p), value))
    if given:
        raise TypeError(f"{part.name}: init returned {sorted(given)}, no field of its state.")
    return tuple(values)


def _own(x, *inputs):
    """x in a buffer of its own, where it is an input itself: state never shares one."""
    return jnp.copy(x) if any(x is i for i in inputs) else x


def _wide(x, real_dtype=None):
    dtype = with_precision_of(x.dtype, real_dtype or accumulator_dtype(x.dtype))
    return lax.convert_element_type(x, dtype)


def _unpack(layout, numbers, parts, like, real_dtype=None) -> list[types.SimpleNamespace]:
    """The packed numbers as one namespace per part, in the dtype of the arithmetic."""
    at, spaces = 0, []
    if numbers is not None:
        numbers = numbers.astype(real_dtype or accumulator_dtype(like.dtype))
    for names, part in zip(layout, parts, strict=True):
        values = {n: lax.index_in_dim(numbers, at + k, keepdims=False) for k, n in enumerate(names)}
        at += len(names)
        spaces.append(types.SimpleNamespace(**dict(part.static), **values))
    return spaces


class _LeafRun:
    """One array on its way through a segment; exists only while tracing."""

    def __init__(self, program, active, numbers, keys, leaf_id, g, p, states):
        stored = jax.tree.leaves(states)
        self.real = accumulator_dtype(g.dtype, *(s.dtype for s in stored), None if p is None else p.dtype)
        self.segment, self.active = program.segment, active
        self.g, self.p, self.stored = g, p, list(states)
        self.h = _unpack(program.layout, numbers, self.segment.parts, g, self.real)
        for i, key in keys.items():
            self.h[i].key = jax.random.fold_in(key, leaf_id)
        self.wide_p = None if p is None else _wide(p, self.real)
        self.measures: dict = {}

    def result(self, out_dtype):
        g = self.g
        if not self.segment.changes_updates and self._is_narrow(g):
            # The next segment widens the same array: XLA would widen it once and keep it.
            g = _barrier(g)
        with _promotion(self.g, self.p):
            u = self._run(self.segment.ops, _wide(g, self.real))
        inputs = (self.g, self.p)
        states = tuple(
            jax.tree.map(lambda x: _own(x, *inputs), state) for state in self.stored
        )
        if not self.segment.changes_updates:
            return None, states, self.measures
        return (u if out_dtype is None else u.astype(out_dtype)), states, self.measures

    def _run(self, ops, u):
        for op in ops:
            if op[0] == "merge":
                u = op[1](*(self._run(branch, u) for branch in op[2]))
            elif self.active[op[1]]:
                u = self._part(op[0], op[1], u)
        return u

    def _part(self, kind: str, i: int, u):
        part, h = self.segment.parts[i], self.h[i]
        rule = part.rule
        with jax.named_scope(part.name):
            state = self._load(i)
            if kind != "finish" and rule.accumulate is not None:
                self._store(i, rule.accumulate(u, state, self.wide_p, h))
                state = self._load(i, just_stored=True)
            if kind == "begin":
                self.measures = rule.measure(u, state, self.wide_p, h)
                return u
            u, new_state = rule.update(u, state, self.wide_p, h)
            if new_state is not state:
                self._store(i, new_state)
        return u

    def _load(self, i: int, just_stored: bool = False):
        rule = self.segment.parts[i].rule
        values = dict(zip(rule.per_param_fields, self.stored[i] or (), strict=True))
        if just_stored and any(self._is_narrow(x) for x in jax.tree.leaves(values)):
            # XLA would compute the rounded and the exact value side by side and keep both.
            values = _barrier(values)
        values = jax.tree.map(lambda x: _wide(x, self.real), values)
        return rule.state(**{name: values.get(name) for name in rule.fields})

    def _is_narrow(self, x) -> bool:
        return x.dtype != with_precision_of(x.dtype, self.real)

    def _store(self, i: int, state) -> None:
        rule = self.segment.parts[i].rule
        self.stored[i] = tuple(
            cast_like(getattr(state, name), old)
            for name, old in zip(rule.per_param_fields, self.stored[i] or (), strict=True)
        )


@jax.custom_jvp
def _barrier(values):
    return lax.optimization_barrier(values)


@_barrier.defjvp
def _barrier_jvp(primals, tangents):
    return _barrier(*primals), tangents[0]


def _promotion(g, p):
    """Under strict promotion no real scalar may scale a complex array; here it may."""
    is_complex = any(x is not None and jnp.iscomplexobj(x) for x in (g, p))
    return jax.numpy_dtype_promotion("standard" if is_complex else jax.config.jax_numpy_dtype_promotion)


@jax.jit
def _total(parts, maxima):
    totals = {}
    for name, values in parts.items():
        stacked = jnp.stack(values)
        totals[name] = jnp.max(stacked) if name in maxima else jnp.sum(stacked)
    return totals


def total(measures: list[dict], rule: Rule, dtype) -> dict[str, Any]:
    """The measures of all arrays combined."""
    if not measures:
        return {}
    parts = {name: [m[name].astype(dtype) for m in measures] for name in measures[0]}
    return _total(parts, {name: None for name in rule.maxima})
