"""Groups of parameters by path: an optimizer for each, and frozen ones."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from .._core.body import Body, Group, Inside
from .._core.flow import Flow
from .._core.paths import Pattern, check_pattern, written
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .path_rules import PathRule, assigned, check_used, rows_of
from .routed import Routed


class _Frozen:
    """What stands for a frozen group where transformations are printed."""

    def __repr__(self) -> str:
        return "frozen"


@dataclasses.dataclass(eq=False)
class _Groups(Routed):
    """A transformation for each group of leaves, by path; those that have none rest.

    Attributes:
        name: The constructor's name.
        mask_extras: False.
        rules: The rules, the first of which that matches a leaf has it.
    """

    rules: tuple[PathRule, ...]
    counts: ClassVar[bool | None] = True

    @property
    def trained(self) -> list[PathRule]:
        """The rules whose leaves are trained."""
        return [rule for rule in self.rules if rule.to is not None]

    @property
    def children(self) -> tuple[Any, ...]:
        return tuple(rule.to for rule in self.trained)

    def with_children(self, children: tuple[Any, ...]) -> Body:
        rest = iter(children)
        rules = tuple(r if r.to is None else r._replace(to=next(rest)) for r in self.rules)
        return dataclasses.replace(self, rules=rules)

    def parts(self) -> Iterator[tuple[str, Any]]:
        for name, pattern, tx in self.rules:
            label = name if name == _name_of(pattern) else f"{name} ({written(pattern)})"
            yield label, _Frozen() if tx is None else tx

    def groups_of(self, flow: Flow) -> list[Group]:
        column = assigned(self.name, self.rules, flow)
        bodies = [None if rule.to is None else rule.to.update.body for rule in self.rules]
        return [
            Group(rule.name, body, [at == index for at in column])
            for index, (rule, body) in enumerate(zip(self.rules, bodies, strict=True))
        ]

    @functools.cached_property
    def may_leave_out(self) -> bool:
        return any(rule.to is None for rule in self.rules) or super().may_leave_out

    def init(self, flow: Flow) -> Any:
        check_used(self.name, self.rules, rows_of(flow))
        return super().init(flow)

    def inner_states(self, state: Any) -> list[Inside]:
        names = [rule.name for rule in self.trained]
        if not isinstance(state, dict) or set(state) != set(names):
            given = list(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(
                f"{self.name}: its state must be a dict with the names of the trained groups, "
                f"{names}, but is {given}. Was the state made by init() of another optimizer?"
            )
        return [Inside(rule.name, rule.to.update.body, state[rule.name]) for rule in self.trained]

    def with_inner_states(self, state: Any, states: list) -> Any:
        del state
        return dict(zip([rule.name for rule in self.trained], states, strict=True))


@dataclasses.dataclass(eq=False)
class _Trainable(Routed):
    """A transformation of some of the leaves, while the others rest; its state is that of inner.

    Attributes:
        name: The constructor's name.
        mask_extras: False.
        inner: The transformation.
        pattern: The leaves that are trained.
    """

    inner: Any
    pattern: Pattern
    counts: ClassVar[bool | None] = None

    @property
    def rules(self) -> tuple[PathRule, ...]:
        """The rule for those that are trained, and what is left."""
        return PathRule("", self.pattern, self.inner), PathRule("", "*", None)

    def groups_of(self, flow: Flow) -> list[Group]:
        column = assigned(self.name, self.rules, flow)
        bodies = (self.inner.update.body, None)
        return [Group(None, body, [at == i for at in column]) for i, body in enumerate(bodies)]

    @functools.cached_property
    def may_leave_out(self) -> bool:
        return True

    def init(self, flow: Flow) -> Any:
        check_used(self.name, self.rules[:1], rows_of(flow))
        return super().init(flow)

    def inner_states(self, state: Any) -> list[Inside]:
        return [Inside("", self.inner.update.body, state)]

    def with_inner_states(self, state: Any, states: list) -> Any:
        del state
        return states[0]


@transformation
def groups(*rules: Any) -> GradientTransformation:
    """Transform each group of parameters by a transformation of its own, by path.

    A rule is (pattern, transformation) or (name, pattern, transformation), and each parameter goes
    by the first that matches its path: the keys, names and indices joined by "/", as in
    "blocks/0/norm/scale". Every parameter must have a rule, and every rule some parameter; but a
    last rule "*" is for what is left, be it nothing. With None for the transformation a group is
    frozen: it has no state, `update` gives zeros for it, and `step` returns its parameters as they
    are.

    Each transformation sees the parameters of its group and None in the place of all others, and
    so does its state. A `clip_by_global_norm` inside is still one over all trained groups, unless
    it says scope="group".

    Shapes: any.
    Units: those of each transformation.

    Args:
        *rules: The rules. A pattern is what `matching` takes: a glob such as "*/bias|*/norm/*", a
            compiled regular expression, a function (path, leaf) -> bool, or a tuple of these. The
            name is the pattern as it is written unless one is given.

    Returns:
        The transformation. Its state is a dict of the states of the trained groups by name.

    Raises:
        TypeError: If a rule is no such tuple, or all are given in one list or dict.
        ValueError: If there are no rules, or two of one name; on init, if a pattern matches no
            path or a rule has no parameter; on init and update, if a parameter has no rule.

    Example:
        >>> import jax.numpy as jnp, gradtx as gx
        >>> params = {"embed": jnp.ones((9, 4)), "head": {"w": jnp.ones((4, 2)), "b": jnp.ones(2)}}
        >>> tx = gx.groups(("embed", None), ("*/b", gx.sgd(0.1)), ("*", gx.adamw(1e-3)))
        >>> print(tx)
        groups
        ├── embed: frozen
        ├── */b: sgd(learning_rate=0.1)
        │   ├── identity()
        │   └── scale_by_learning_rate(learning_rate=0.1)
        └── *: adamw(learning_rate=0.001)
            ├── scale_by_adam(b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)
            ├── add_decayed_weights(weight_decay=0.0001)
            └── scale_by_learning_rate(learning_rate=0.001)
        >>> sorted(tx.init(params))
        ['*', '*/b']
    """
    if len(rules) == 1 and isinstance(rules[0], Mapping):
        raise TypeError("groups: it takes rules, not a dict of them. Give groups(*rules.items()).")
    if len(rules) == 1 and _are_rules(rules[0]):
        raise TypeError(
            f"groups: it takes rules one by one, not a {type(rules[0]).__name__} of them. Give "
            "groups(*rules)."
        )
    made = [_rule_of(rule) for rule in rules]
    names = [rule.name for rule in made]
    if not made:
        raise ValueError('groups: at least one rule is needed, such as ("*", adamw(1e-3)).')
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"groups: two rules have the name {twice[0]!r}. Give names: (name, pattern, "
            "transformation)."
        )
    return from_body(_Groups("groups", False, tuple(made)))


def _are_rules(given: Any) -> bool:
    """Whether these are several rules, or one in a list: no pattern is a list or has a None."""
    return isinstance(given, (list, tuple)) and any(
        isinstance(x, (list, tuple)) and len(x) in (2, 3) and _is_assigned(x[-1]) for x in given
    )


def _is_assigned(x: Any) -> bool:
    """Whether a rule may end with it."""
    return x is None or (isinstance(x, tuple) and len(x) == 2 and all(map(callable, x)))


def _rule_of(rule: Any) -> PathRule:
    if not isinstance(rule, (tuple, list)) or len(rule) not in (2, 3) or hasattr(rule, "update"):
        raise TypeError(
            "groups: a rule must be (pattern, transformation) or (name, pattern, transformation), "
            f"but one is {rule!r}."
        )
    pattern, tx = rule[-2:]
    check_pattern("groups", pattern)
    name = rule[0] if len(rule) == 3 else _name_of(pattern)
    if not isinstance(name, str) or not name:
        raise TypeError(f"groups: the name of a rule must be a string, but one is {name!r}.")
    return PathRule(name, pattern, None if tx is None else as_transformation(tx, "groups"))


def _name_of(pattern: Pattern) -> str:
    """The pattern as it is written, as the name of a group."""
    if isinstance(pattern, tuple):
        return "|".join(_name_of(member) for member in pattern)
    if isinstance(pattern, str):
        return pattern
    return getattr(pattern, "pattern", None) or written(pattern)


@transformation
def trainable(inner: Any, pattern: Any) -> GradientTransformation:
    """Train some of the parameters, and freeze the others.

    u = inner(g) where the pattern matches the path of a parameter, u = 0 elsewhere. Frozen ones
    have no state and take no part in norms or other numbers of the whole tree, and `step` returns
    them as they are. What stands around it, such as a mean over micro-batches or a guard, leaves
    them out as well, unless something behind it moves them.

    Shapes: any.
    Units: those of inner.

    Args:
        inner: The transformation of the parameters that are trained.
        pattern: Which those are, as for `matching`: "lora/*".

    Returns:
        The transformation. Its state is that of inner, with None for the frozen parameters.

    Raises:
        TypeError: If `inner` is no transformation or `pattern` no pattern.
        ValueError: On init, if the pattern matches no path or nothing that can be trained.

    Example:
        >>> import jax.numpy as jnp, gradtx as gx
        >>> tx = gx.trainable(gx.adamw(1e-3), "*/lora/*")
        >>> params = {"dense": {"kernel": jnp.ones((9, 9)), "lora": {"a": jnp.ones((9, 1))}}}
        >>> tx.init(params)[0].mu["dense"]["kernel"] is None
        True
    """
    child = as_transformation(inner, "trainable")
    check_pattern("trainable", pattern)
    return from_body(_Trainable("trainable", False, child, pattern))
