"""Rules that go by paths: which of them has which leaf, and what is said about a mistake."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._core import leaves
from .._core.flow import Flow
from .._core.masks import spread
from .._core.paths import Pattern, check_known, listed, matches, paths_of, written


class PathRule(NamedTuple):
    """A rule: its name, its pattern, and what the leaves that it gets are assigned to."""

    name: str
    pattern: Pattern
    to: Any


def assigned(owner: str, rules: Sequence[PathRule], flow: Flow) -> list[int | None]:
    """For each leaf that is trained the number of the first rule that matches it; None for others.

    Raises:
        ValueError: If a leaf has no rule.
    """

    def numbered(tree: Any) -> Any:
        given, treedef = leaves.flatten(tree)
        return treedef.unflatten(
            [
                first_rule(owner, rules, path, leaf) if leaves.is_inexact(leaf) else None
                for path, leaf in zip(paths_of(tree), given, strict=True)
            ]
        )

    column = spread(flow, owner, "the groups", "numbers", numbered)
    column = [at if on else None for at, on in zip(column, flow.present, strict=True)]
    pairs = zip(column, paths_of(flow.tree), flow.present, strict=True)
    if without := [path for at, path, on in pairs if on and at is None]:
        for rule in rules:  # is one of them misspelt?
            check_known(owner, rule.pattern, [path for path, _, _ in rows_of(flow)])
        raise ValueError(
            f'{owner}: no rule matches {listed(without)}. Add a last rule ("*", transformation) '
            'for the rest, or ("*", None) to freeze it.'
        )
    return column


def first_rule(owner: str, rules: Sequence[PathRule], path: str, leaf: Any) -> int | None:
    fitting = (i for i, r in enumerate(rules) if matches(r.pattern, path, leaf, owner))
    return next(fitting, None)


def check_used(
    owner: str, rules: Sequence[PathRule], rows: Sequence[tuple], needed: bool = True
) -> None:
    """Raise if a pattern is misspelt, or a rule gets no leaf; a last "*" is for what is left.

    Args:
        owner: Who was given the rules.
        rules: The rules.
        rows: (path, leaf, whether it is trained) of all leaves.
        needed: Whether that is an error too for a rule that matches nothing that is trained.
    """
    left = trained = [(path, leaf) for path, leaf, on in rows if on]
    if not trained:
        return
    for rule in rules:
        check_known(owner, rule.pattern, [path for path, _, _ in rows])
        fitting = [path for path, leaf in trained if matches(rule.pattern, path, leaf, owner)]
        kept = [x for x in left if not matches(rule.pattern, *x, owner)]
        is_rest = rule is rules[-1] and rule.pattern == "*"
        if len(kept) == len(left) and (fitting or needed) and not is_rest:
            why = (
                f"those that it matches, {listed(fitting)}, have earlier ones. The first that "
                "matches counts: put the special ones before the general ones."
                if fitting
                else "it matches nothing that is trained here. What is trained are "
                f"{listed([path for path, _ in trained])}."
            )
            raise ValueError(f"{owner}: the rule {written(rule.pattern)} has no parameter: {why}")
        left = kept


def rows_of(flow: Flow) -> list[tuple]:
    tree = flow.tree if flow.whole is None else flow.whole
    return list(zip(paths_of(tree), leaves.flatten(tree)[0], flow.present, strict=True))
