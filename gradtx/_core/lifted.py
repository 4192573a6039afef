"""A rule for one array as a body: with its hyperparameters, and the leaves it applies to."""

import dataclasses
import functools
from typing import Any

import numpy as np

from . import leaves, masks
from .body import Body, Plan, Purpose
from .flow import Flow
from .numerics import widened
from .rule import Rule
from .segment import Part


@dataclasses.dataclass(eq=False)
class Lifted(Body):
    """A rule with its hyperparameters.

    Attributes:
        name: The constructor's name.
        rule: The rule.
        numbers: Numeric hyperparameters: numbers, traced values, schedules, decays.
        static: Everything else that the rule is told, hashable.
        dtypes: Storage dtype by field, None for that of the arithmetic.
        where: The leaves it applies to: None for all, a tree of booleans (or a prefix of it),
            or a function from the parameters to one.
        start: Start values of whole-tree fields that do not start at zero.
    """

    name: str
    rule: Rule
    numbers: dict[str, Any]
    static: dict[str, Any]
    dtypes: dict[str, Any]
    where: Any = None
    start: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        given = dict(self.rule.defaults)
        return (*(name for name in self.rule.extras if name not in given), *self.rule.trees)

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.rule.defaults)

    @property
    def absolute(self) -> bool:
        return self.rule.absolute

    @property
    def passes(self) -> bool:
        return self.rule.passes

    @property
    def keeps_zero(self) -> bool:
        return self.rule.passes or self.rule.keeps_zero

    def emit(self, plan: Plan) -> None:
        plan.rule(self)

    def told(self, flow: Flow) -> list:
        """Whether it applies to each leaf, or with `per_leaf` what it is told of it, or None."""
        if self.where is None:
            return flow.trainable
        if self.rule.per_leaf is None:
            return masks.over_leaves(flow, self.name, self.where)
        what = f"`{self.rule.per_leaf}`"
        values = masks.spread(flow, self.name, what, "hashable values", self.where)
        return [x if on else None for x, on in zip(values, flow.trainable, strict=True)]

    def resting(self, flow: Flow) -> list[bool]:
        if not self.rule.still:
            return super().resting(flow)
        return [True] * len(flow.leaves) if self.where is None else self.told(flow)

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        if purpose != "gradient" or self.rule.point is None:
            return params
        given, treedef = leaves.flatten(params)
        names = self.rule.per_param_fields
        columns = [
            leaves.align(
                treedef,
                getattr(state, name),
                owner=self.name,
                what=f"the state field `{name}`",
                reference=params,
                reference_name="the parameters",
            )
            for name in names
        ]
        point, rows = list(given), list(zip(*columns, strict=True))
        for i, (p, row) in enumerate(zip(given, rows, strict=True)):
            if leaves.is_inexact(p) and not any(x is None for x in row):
                p = leaves.as_array(p)
                wide = [widened(x) for x in (p, *row)]
                here = state._replace(**dict(zip(names, wide[1:], strict=True)))
                point[i] = self.rule.point(wide[0], here).astype(p.dtype)
        return treedef.unflatten(point)

    @functools.cached_property
    def part(self) -> Part:
        """What fusion needs to know of it."""
        dtypes = tuple((k, np.dtype(v)) for k, v in self.dtypes.items() if v is not None)
        return Part(self.name, self.rule, tuple(self.static.items()), dtypes)
