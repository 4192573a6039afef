"""A fused stage: rules that run array by array, split only where one needs a whole-tree number."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import leaves
from .flow import Flow
from .fuse import Program, program_of
from .outside import beyond
from .rule import DecayNumber, expand, schedule_of
from .segment import Segment
from .stage_run import StageRun, in_one_array
from .state import EmptyState, start_of_shared


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
        masks = [rule.told(flow) for rule in self.rules]
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
        return in_one_array(values) if values else None

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
        run = StageRun(self.rules, flow, states)
        for program, used in self.segments:
            run.segment(program, used)
        flow.noise_by = next((r.name for r in self.rules if r.rule.random), flow.noise_by)
        return run.states()


def _copy(start: Any) -> jax.Array:
    """A start value in a buffer of its own."""
    # jnp.copy remembers which dtype it gave an array of NumPy, also when jax_enable_x64 changes.
    return jnp.copy(np.copy(start) if isinstance(start, np.ndarray) else start)


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


def _placeholder(value):
    """A decay or number whose expansion has the names, without evaluating a schedule."""
    return DecayNumber(0.5) if isinstance(value, DecayNumber) else 0.5
