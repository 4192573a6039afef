"""Multipliers of the updates, by path."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import leaves
from .._core.arguments import concrete_number
from .._core.paths import check_pattern, listed, matches, paths_of, written
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from .path_rules import PathRule, check_used, first_rule


@transformation
def scale_by_path(*rules: Any) -> GradientTransformation:
    """Multiply the updates of each parameter by a number that goes by its path.

    u = c g, with the number c of the first rule whose pattern matches; where none does u = g. At
    the end of a chain the numbers are multipliers of the learning rate.

    Shapes: any.
    Units: those of g; c has none.

    Args:
        *rules: (pattern, c) with a pattern as for `matching` and a finite number c.

    Returns:
        The transformation, without state.

    Raises:
        TypeError: If a rule is no such tuple, or c no known number.
        ValueError: If there are no rules, or c is not finite; on init, if a pattern matches no
            path, if earlier rules have all parameters that it matches, or if all that any of the
            rules matches belongs to other groups. One rule of several may match only parameters
            that do not come here: those of other groups, or not trained.

    Example:
        >>> import gradtx as gx
        >>> tx = gx.chain(gx.adamw(1e-3), gx.scale_by_path(("head/*", 10.0), ("embed/*", 0.1)))
    """
    made = tuple(_multiplier(rule) for rule in rules)
    if not made:
        raise ValueError('scale_by_path: at least one rule is needed, such as ("head/*", 10.0).')
    return lift(_SCALE_BY_PATH, where=_Multipliers(made))


def _multiplier(rule: Any) -> PathRule:
    if not isinstance(rule, (tuple, list)) or len(rule) != 2:
        raise TypeError(f"scale_by_path: a rule must be (pattern, number), but one is {rule!r}.")
    pattern, given = rule
    check_pattern("scale_by_path", pattern)
    number = concrete_number(given)
    if number is None:
        raise TypeError(
            f"scale_by_path: the multiplier of {written(pattern)} must be a number that is known, "
            f"but is {leaves.describe_leaf(given)}. For schedules, give the parameters a group."
        )
    if not np.isfinite(number):
        raise ValueError(
            f"scale_by_path: the multiplier of {written(pattern)} must be finite, but is {number}."
        )
    return PathRule("", pattern, number)


@dataclasses.dataclass(eq=False)
class _Multipliers:
    """What `scale_by_path` tells its rule: params -> tree of multipliers, None where is none."""

    rules: tuple[PathRule, ...]

    def __call__(self, params: Any) -> Any:
        owner = "scale_by_path"
        given, treedef = leaves.flatten(params)
        rows = [
            (path, x, leaves.is_inexact(x)) for path, x in zip(paths_of(params), given, strict=True)
        ]
        check_used(owner, self.rules, rows, needed=False)
        column = [first_rule(owner, self.rules, path, x) if on else None for path, x, on in rows]
        if any(on for _, _, on in rows) and all(at is None for at in column):
            _check_matched_here(self.rules, rows)
        return treedef.unflatten(
            [None if at is None else _Number(self.rules[at].to) for at in column]
        )


def _check_matched_here(rules: Sequence[PathRule], rows: Sequence[tuple]) -> None:
    """Raise if all leaves that any of the rules is for are left out, as those of other groups."""
    patterns = tuple(rule.pattern for rule in rules)
    fitting = [(path, x) for path, x, _ in rows if matches(patterns, path, x, "scale_by_path")]
    if fitting and all(x is None for _, x in fitting):
        raise ValueError(
            f"scale_by_path: none of its rules matches anything that is trained here: "
            f"{listed([path for path, _ in fitting])} belong to other groups or rest. Here are "
            f"{listed([path for path, _, on in rows if on])}."
        )


@dataclasses.dataclass(frozen=True)
class _Number:
    """A multiplier; a bare 0 would mean that the rule does not apply."""

    value: float


def _multiplied(g, state, p, h):
    return g * h.multiplier.value, state


_SCALE_BY_PATH = Rule(_multiplied, per_leaf="multiplier")
