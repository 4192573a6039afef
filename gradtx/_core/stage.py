"""A fused stage: rules that run array by array, split only where one needs a whole-tree number."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import leaves
from .flow import Flow
from .fuse import Program, program_of, total
from .outside import beyond
from .rule import DecayNumber, at_step, expand, schedule_of
from .segment import Segment
from .state import EmptyState, cast_like, fields_of, start_of_shared, wrong_state


class FusedStage:
    """Neighbouring rules of a chain.

    Attributes:
        ops: What happens to an array, in order (see `Segment`).
        rules: The lifted rules the ops refer to by position.
    """

    def __init__(self, ops: tuple, rules: tuple):
        self.ops, self.rules = ops, rules

    @functools.cached_property
    def runs(self) -> list[tuple]:
        """The ops, cut where a rule needs a whole-tree number."""
        runs: list[list] = [[]]
        for op in self.ops:
            if op[0] == "rule" and self.rules[op[1]].rule.measure is not None:
                runs[-1].append(("begin", op[1]))
                runs.append([("finish", op[1])])
            else:
                runs[-1].append(op)
        return [tuple(ops) for ops in runs]

    @functools.cached_property
    def segments(self) -> list[tuple[Program, tuple[int, ...]]]:
        """The programs, and for each which of the rules take part in it."""
        return [self._segment(ops) for ops in self.runs]

    def _segment(self, ops: tuple) -> tuple[Program, tuple[int, ...]]:
        used = tuple(_indices(ops))
        rules = [self.rules[i] for i in used]
        local = {i: k for k, i in enumerate(used)}
        numbers = tuple(tuple(self._names(rule)) for rule in rules)
        segment = Segment(tuple(rule.part for rule in rules), _renumbered(ops, local), numbers)
        return program_of(segment), used

    @staticmethod
    def _names(rule):
        return [n for key, v in rule.numbers.items() for n in expand(key, _placeholder(v))]

    def init(self, flow: Flow) -> list:
        """The states of the rules for the parameters that the flow carries."""
        self._check_numbers_beyond(flow)
        all_leaves = flow.trainable
        masks = [all_leaves if rule.where is None else _mask(rule, flow) for rule in self.rules]
        numbers = self._init_numbers()
        rows = [
            self._init_leaf(p, tuple(mask[i] for mask in masks), numbers, flow, i)
            if flow.trainable[i]
            else (None,) * len(self.rules)
            for i, p in enumerate(flow.leaves)
        ]
        columns = [[row[k] for row in rows] for k in range(len(self.rules))]
        return [
            self._init_state(rule, column, flow)
            for rule, column in zip(self.rules, columns, strict=True)
        ]

    def _check_numbers_beyond(self, flow: Flow) -> None:
        for number, ops in enumerate(self.runs if flow.outside is not None else []):
            if ops and ops[-1][0] == "begin":
                rule, comes_first = self.rules[ops[-1][1]], number == 0 and len(ops) == 1
                beyond(flow, rule.name, rule.rule.everywhere, comes_first)

    @functools.cached_property
    def _init_program(self) -> Program:
        numbers = tuple(tuple(n for n, _ in self._plain_numbers(rule)) for rule in self.rules)
        return program_of(Segment(tuple(rule.part for rule in self.rules), (), numbers))

    @staticmethod
    def _plain_numbers(rule):
        plain = {k: v for k, v in rule.numbers.items() if schedule_of(v) is None}
        return [item for k, v in plain.items() for item in expand(k, v).items()]

    def _init_numbers(self):
        values = [v for rule in self.rules for _, v in self._plain_numbers(rule)]
        return _pack(values) if values else None

    def _init_leaf(self, p, active, numbers, flow, index):
        if not any(rule.part.rule.per_param_fields for rule in self.rules):
            return tuple(() if on else None for on in active)
        function = self._init_program.init(active, flow.splits[index])
        try:
            if leaves.is_abstract(p):
                return jax.eval_shape(function, numbers, p)
            if isinstance(p, jax.Array) and not leaves.is_traced(p) and p.committed:
                # Compiled, new arrays would go where JAX likes: here they go where p is.
                return function.__wrapped__(numbers, p)
            return function(numbers, p)
        except Exception as error:
            error.add_note(f"gradtx: in init at {leaves.path_names(flow.tree)[index]}.")
            raise

    @staticmethod
    def _init_state(rule, rows: list, flow: Flow):
        if rule.rule.state is EmptyState:
            return EmptyState()
        values, at = {}, 0
        for name, field in rule.rule.fields.items():
            if field.per_param:
                column = [None if row is None else row[at] for row in rows]
                values[name] = flow.treedef.unflatten(column)
                at += 1
            else:
                value = _copy(rule.start[name]) if name in rule.start else start_of_shared(field)
                values[name] = jax.eval_shape(lambda v=value: v) if flow.is_abstract else value
        return rule.rule.state(**values)

    def update(self, flow: Flow, states: list) -> list:
        """Send the flow through all segments; returns the new states."""
        run = _StageRun(self, flow, states)
        for program, used in self.segments:
            run.segment(program, used)
        flow.noise_by = next((r.name for r in self.rules if r.rule.random), flow.noise_by)
        return run.states()


class _StageRun:
    """One update of one stage."""

    def __init__(self, stage: FusedStage, flow: Flow, states: list):
        self.stage, self.flow = stage, flow
        self.extras = [self._needed(rule) for rule in stage.rules]
        self.trees = [
            {name: flow.needed_tree(rule.name, name) for name in rule.rule.trees}
            for rule in stage.rules
        ]
        self.masks = [None if rule.where is None else _mask(rule, flow) for rule in stage.rules]
        self.shared = [self._checked(rule, s) for rule, s in zip(stage.rules, states, strict=True)]
        self.columns = [
            [flow.column(getattr(s, name), rule.name, name) for name in rule.rule.per_param_fields]
            for rule, s in zip(stage.rules, states, strict=True)
        ]
        self.rows = [list(zip(*c, strict=True)) if c else None for c in self.columns]
        self.numbers = [
            {key: _at_step(rule, key, value, shared) for key, value in rule.numbers.items()}
            for rule, shared in zip(stage.rules, self.shared, strict=True)
        ]
        self.totals: dict = {}
        self.carry: dict = {}
        self.keys: dict = {}

    @staticmethod
    def _checked(rule, state):
        if type(state) is rule.rule.state:
            return state
        raise wrong_state(rule.name, rule.rule.state, state)

    def _needed(self, rule) -> dict:
        if rule.rule.params and self.flow.params is None:
            raise ValueError(
                f"{rule.name} needs the parameters: call update(updates, state, params)."
            )
        self.flow.need(rule.name, *rule.needs)
        defaults = dict(rule.rule.defaults)
        return {
            name: self.flow.needed_extra(rule.name, name, defaults.get(name))
            for name in rule.rule.extras
        }

    def segment(self, program: Program, used: tuple[int, ...]) -> None:
        """Run one segment over all leaves."""
        numbers, keys = self._numbers(program, used)
        segment, flow = program.segment, self.flow
        if flow.reports is not None:
            self._report(program, used, numbers)
        last, further = segment.measures is None, self._leaves_beyond(segment)
        meter = flow.meter if last and flow.casting else None
        sizes: dict[int, list] = {}
        measured: list[tuple] = []
        functions: dict = {}
        all_active = (True,) * len(used)
        masked = any(self.masks[i] is not None for i in used)
        stateful = [self.rows[i] for i in used]
        trees = {k: self.trees[i] for k, i in enumerate(used) if self.trees[i]}
        params = flow.param_arrays if segment.reads_params else [None] * len(flow.leaves)
        for index, g in enumerate(flow.leaves):
            if not flow.trainable[index]:
                continue
            active = self._active(used, index) if masked else all_active
            dtype = flow.out_dtype(index) if last else None
            key = (active, dtype, flow.splits[index])
            function = functions.get(key)
            if function is None:
                function = functions[key] = (
                    program.leaf(*key) if meter is None else program.metered(key, meter.names)
                )
            states = tuple([None if rows is None else rows[index] for rows in stateful])
            try:
                u, states, measures, *sums = function(
                    numbers,
                    keys,
                    flow.leaf_ids[index] if keys else None,
                    g,
                    params[index],
                    states,
                    {k: {n: t[index] for n, t in named.items()} for k, named in trees.items()},
                    *([] if meter is None else [flow.param_arrays[index]]),
                )
            except Exception as error:
                self._explain(error, program, used, index)
                raise
            if u is not None:
                flow.leaves[index] = u
            for rows, state in zip(stateful, states, strict=True):
                if rows is not None:
                    rows[index] = state
            if measures:
                measured.append((flow.splits[index], measures))
            if meter is not None:
                meter.done.add(index)
                sizes.setdefault(meter.places[index], []).append((flow.splits[index], sums[0]))
        for place, found in sizes.items():
            for name, value in total(found, (), _number_dtype()).items():
                flow.report(f"{name}|{place}", value)
        if segment.measures is not None:
            rule = segment.parts[segment.measures].rule
            measured += self._measured_beyond(program, numbers, further)
            self.totals = total(measured, rule.maxima, _number_dtype())

    def _leaves_beyond(self, segment: Segment) -> list[tuple]:
        """The leaves of other groups over which a measure of this segment is taken, too."""
        if segment.measures is None or self.flow.outside is None:
            return []
        part = segment.parts[segment.measures]
        comes_first = len(segment.ops) == 1
        return beyond(self.flow, part.name, part.rule.everywhere, comes_first)

    @staticmethod
    def _measured_beyond(program: Program, numbers: Any, further: list[tuple]) -> list[tuple]:
        measured = []
        for g, split in further:
            function = program.leaf((True,), None, split)
            measured.append((split, function(numbers, {}, None, g, None, (None,), {})[2]))
        return measured

    def _report(self, program: Program, used: tuple[int, ...], numbers: Any) -> None:
        at, unfinished = 0, program.segment.measures
        for i, (names, part) in enumerate(zip(program.layout, program.segment.parts, strict=True)):
            for public, name in part.rule.reports if i != unfinished else ():
                self.flow.report(public, numbers[at + names.index(name)])
            at += len(names)

    def _active(self, used, index) -> tuple[Any, ...]:
        masks = [self.masks[i] for i in used]
        return tuple([True if mask is None else mask[index] for mask in masks])

    def _numbers(self, program: Program, used: tuple[int, ...]):
        constants, dynamic = [], {}
        for k, i in enumerate(used):
            for key, value in self.numbers[i].items():
                for name, number in expand(key, value).items():
                    if isinstance(number, float):
                        constants.append(number)
                    else:
                        dynamic[k, name] = jnp.asarray(number)
        packed = _pack(constants)
        if not program.needs_prelude and not dynamic:
            return (packed if constants else None), {}
        shared = {k: _without_leaves(self.shared[i]) for k, i in enumerate(used)}
        extras = {k: self.extras[i] for k, i in enumerate(used)}
        carried = {k: self.carry[i] for k, i in enumerate(used) if i in self.carry}
        numbers, keys, new, carry = program.prelude(
            packed, dynamic, shared, self.totals, carried, extras
        )
        self.carry = {used[k]: values for k, values in carry.items()}
        self.keys |= {used[k]: key for k, key in keys.items()}
        for k, i in enumerate(used):
            self.shared[i] = _stored_like(new[k], shared[k])
        return numbers, {k: self.keys[i] for k, i in enumerate(used) if i in self.keys}

    def _explain(self, error: Exception, program: Program, used, index: int) -> None:
        names = ", ".join(self.stage.rules[i].name for i in used)
        path = leaves.path_names(self.flow.tree)[index]
        what = leaves.describe_leaf(self.flow.leaves[index])
        error.add_note(f"gradtx: in {names} at the gradient {path}, {what}.")
        for i in used:
            for name, column in zip(
                self.stage.rules[i].rule.per_param_fields, self.columns[i], strict=True
            ):
                error.add_note(
                    f"gradtx: {self.stage.rules[i].name} holds {name} = "
                    f"{jax.tree.map(leaves.describe_leaf, column[index])} there."
                )

    def states(self) -> list:
        """The new states of the stage's rules."""
        new = []
        for rule, shared, rows in zip(self.stage.rules, self.shared, self.rows, strict=True):
            fields = rule.rule.per_param_fields
            columns = list(zip(*rows, strict=True)) if rows else [()] * len(fields)
            trees = [self.flow.treedef.unflatten(column) for column in columns]
            new.append(shared._replace(**dict(zip(fields, trees, strict=True))))
        return new


def _copy(start: Any) -> jax.Array:
    """A start value in a buffer of its own."""
    # jnp.copy remembers which dtype it gave an array of NumPy, also when jax_enable_x64 changes.
    return jnp.copy(np.copy(start) if isinstance(start, np.ndarray) else start)


def _mask(rule, flow: Flow) -> list:
    """Whether a rule applies to each leaf, or for one with `per_leaf` what it is told of it."""
    if rule.rule.per_leaf is None:
        return flow.mask(rule.name, rule.where)
    values = flow.spread(rule.name, f"`{rule.rule.per_leaf}`", "hashable values", rule.where)
    return [x if on else None for x, on in zip(values, flow.trainable, strict=True)]


def _indices(ops: tuple):
    for op in ops:
        if op[0] == "merge":
            for branch in op[2]:
                yield from _indices(branch)
        else:
            yield op[1]


def _renumbered(ops: tuple, local: dict) -> tuple:
    return tuple(
        ("merge", op[1], tuple(_renumbered(branch, local) for branch in op[2]))
        if op[0] == "merge"
        else (op[0], local[op[1]])
        for op in ops
    )


def _at_step(rule, key: str, value, state):
    """A hyperparameter as it is at this step; a schedule must give one number."""
    if schedule_of(value) is None:
        return value
    now = at_step(value, getattr(state, rule.rule.clock))
    called = next((public for public, name in rule.rule.reports if name == key), key)
    given = now.value if isinstance(now, DecayNumber) else now
    is_number = isinstance(given, (int, float, complex, np.generic, np.ndarray, jax.Array))
    if not is_number or np.shape(given) != ():
        raise TypeError(
            f"{rule.name}: the schedule `{called}` must return one number, but returned "
            f"{leaves.describe_leaf(given)}."
        )
    return now


def _placeholder(value):
    """A decay or number whose expansion has the names, without evaluating a schedule."""
    return DecayNumber(0.5) if isinstance(value, DecayNumber) else 0.5


def _number_dtype() -> np.dtype:
    return np.dtype(jnp.result_type(float))  # float64 under jax_enable_x64


def _pack(values: list) -> Any:
    if all(isinstance(v, float) for v in values):
        return np.array(values, _number_dtype())
    return jnp.stack([jnp.asarray(v).astype(_number_dtype()) for v in values])


def _without_leaves(state):
    """The state with its whole-tree fields only."""
    fields = fields_of(type(state))
    return state._replace(**{name: None for name, field in fields.items() if field.per_param})


def _stored_like(new, old):
    return type(old)(*(n if o is None else cast_like(n, o) for n, o in zip(new, old, strict=True)))
