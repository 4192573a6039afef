"""One update of a fused stage: its segments one after the other, each over all leaves."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import leaves
from .flow import Flow
from .fuse import Program, total
from .meter import Meter
from .outside import beyond
from .rule import DecayNumber, at_step, expand, schedule_of
from .segment import Segment
from .state import cast_like, fields_of, wrong_state


class StageRun:
    """One update of one stage.

    Attributes:
        rules: The rules of the stage.
        flow: The updates; its leaves are changed.
        shared: For each rule its state; the fields of the whole tree in it become the new ones.
        columns: For each rule the per-parameter fields of its state as lists over the leaves.
        rows: The same by leaves, or None for a rule without; they become the new ones.
        numbers: For each rule its hyperparameters at this step.
    """

    def __init__(self, rules: tuple, flow: Flow, states: list):
        self.rules, self.flow = rules, flow
        self.extras = [self._needed(rule) for rule in rules]
        self.trees = [
            {name: flow.needed_tree(rule.name, name) for name in rule.rule.trees} for rule in rules
        ]
        self.masks = [None if rule.where is None else rule.told(flow) for rule in rules]
        self.shared = [self._checked(rule, s) for rule, s in zip(rules, states, strict=True)]
        self.columns = [
            [flow.column(getattr(s, name), rule.name, name) for name in rule.rule.per_param_fields]
            for rule, s in zip(rules, states, strict=True)
        ]
        self.rows = [list(zip(*c, strict=True)) if c else None for c in self.columns]
        self.numbers = [
            {key: _at_step(rule, key, value, shared) for key, value in rule.numbers.items()}
            for rule, shared in zip(rules, self.shared, strict=True)
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
        sizes: list[tuple] = []
        measured: list[tuple] = []
        functions: dict = {}
        all_active = (True,) * len(used)
        masked = any(self.masks[i] is not None for i in used)
        stateful = [self.rows[i] for i in used]
        trees = {k: self.trees[i] for k, i in enumerate(used) if self.trees[i]}
        params = flow.param_arrays if segment.reads_params else [None] * len(flow.leaves)
        for index, g in enumerate(flow.leaves):
            if not flow.trainable[index]:
                self._check_no_state(used, index)
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
                sizes.append((index, flow.splits[index], sums[0]))
        if meter is not None:
            _add_sizes(meter, sizes)
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
        packed = in_one_array(constants)
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

    def _check_no_state(self, used: tuple[int, ...], index: int) -> None:
        """Raise if what is no gradient stands where there is a state of one."""
        g = self.flow.leaves[index]
        if g is None or getattr(g, "dtype", None) == jax.dtypes.float0:
            return
        for i in used:
            rows = self.rows[i]
            if rows is not None and any(x is not None for x in rows[index]):
                raise TypeError(
                    f"{self.rules[i].name}: the gradient at "
                    f"{leaves.path_names(self.flow.tree)[index]} must be a floating-point array "
                    f"because its parameter is trained, but is {leaves.describe_leaf(g)}. Was "
                    "something else than the gradients passed as updates?"
                )

    def _explain(self, error: Exception, program: Program, used, index: int) -> None:
        names = ", ".join(self.rules[i].name for i in used)
        path = leaves.path_names(self.flow.tree)[index]
        what = leaves.describe_leaf(self.flow.leaves[index])
        error.add_note(f"gradtx: in {names} at the gradient {path}, {what}.")
        for i in used:
            for name, column in zip(
                self.rules[i].rule.per_param_fields, self.columns[i], strict=True
            ):
                error.add_note(
                    f"gradtx: {self.rules[i].name} holds {name} = "
                    f"{jax.tree.map(leaves.describe_leaf, column[index])} there."
                )

    def states(self) -> list:
        """The new states of the stage's rules."""
        new = []
        for rule, shared, rows in zip(self.rules, self.shared, self.rows, strict=True):
            fields = rule.rule.per_param_fields
            columns = list(zip(*rows, strict=True)) if rows else [()] * len(fields)
            trees = [self.flow.treedef.unflatten(column) for column in columns]
            new.append(shared._replace(**dict(zip(fields, trees, strict=True))))
        return new


def _add_sizes(meter: Meter, sizes: list[tuple]) -> None:
    """Keep (leaf, split, sums of squares) of leaves as sums over their groups."""
    found: dict[int, list] = {}
    for row in sizes:
        found.setdefault(meter.places[row[0]], []).append(row)
    for place, rows in found.items():
        sums = total([(split, x) for _, split, x in rows], (), _number_dtype())
        meter.add({name: {place: [x]} for name, x in sums.items()}, [row[0] for row in rows])


def _at_step(rule, key: str, value, state):
    """A hyperparameter as it is at this step; a schedule must give one number."""
    if schedule_of(value) is None:
        return value
    called = next((public for public, name in rule.rule.reports if name == key), key)
    try:
        now = at_step(value, getattr(state, rule.rule.clock))
    except jax.errors.ConcretizationTypeError as error:
        error.add_note(
            f"gradtx: in the schedule `{called}` of {rule.name}. The step it is given is traced: "
            "choose with jnp.where, or by gradtx.join_schedules, not by a Python `if`."
        )
        raise
    given = now.value if isinstance(now, DecayNumber) else now
    is_number = isinstance(given, (int, float, complex, np.generic, np.ndarray, jax.Array))
    if not is_number or np.shape(given) != ():
        raise TypeError(
            f"{rule.name}: the schedule `{called}` must return one number, but returned "
            f"{leaves.describe_leaf(given)}."
        )
    return now


def _number_dtype() -> np.dtype:
    return np.dtype(jnp.result_type(float))  # float64 under jax_enable_x64


def in_one_array(values: list) -> Any:
    """Numbers packed for a program, that of NumPy if all are known."""
    if all(isinstance(v, float) for v in values):
        return np.array(values, _number_dtype())
    return jnp.stack([jnp.asarray(v).astype(_number_dtype()) for v in values])


def _without_leaves(state):
    """The state with its whole-tree fields only."""
    fields = fields_of(type(state))
    return state._replace(**{name: None for name, field in fields.items() if field.per_param})


def _stored_like(new, old):
    return type(old)(*(n if o is None else cast_like(n, o) for n, o in zip(new, old, strict=True)))
