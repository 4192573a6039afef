"""Functions whose first argument is a transformation: what is missing or swapped, said plainly."""

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import jax

from .leaves import with_article
from .state import typed_fields, what_holds_it
from .transformation import GradientTransformation

P = ParamSpec("P")
R = TypeVar("R")


def transformation_first(function: Callable[P, R]) -> Callable[P, R]:
    """A function that says of what it is called with what is missing, or in another place.

    Its first parameter must be the transformation; those that are called `state` and `params` are
    looked at, too.
    """
    signature = inspect.signature(function)
    needed = [
        name
        for name, p in signature.parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    more = ["..."] if len(signature.parameters) > len(needed) else []
    usage = f"{function.__name__}({', '.join([*needed, *more])})"

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind_partial(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # Python says what there is too much of
        _check(function.__name__, usage, needed, given)
        return function(*args, **kwargs)

    return call


def _check(owner: str, usage: str, needed: list[str], given: Mapping[str, Any]) -> None:
    first = needed[0]
    tx = given.get(first)
    if first in given and not _is_pair(tx) and not _is_constructor(tx):
        raise TypeError(
            f"{owner}: the transformation comes first, {usage}, but `{first}` is "
            f"{_what_it_is(tx)}.{_swapped(first, given, _is_pair)}"
        )
    missing = [f"`{name}`" for name in needed if name not in given]
    if missing:
        raise TypeError(
            f"{owner}: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: "
            f"{usage}."
        )
    for name in given:
        kind = name.rsplit("_", 1)[-1]
        if kind == "state" and (holder := what_holds_it(given[name])):
            kind_given = with_article(type(given[name]).__name__)
            raise TypeError(f"{owner}: `{name}` is {kind_given}: {usage}. {holder}")
        if kind in _NOT and _NOT[kind](given[name]):
            raise TypeError(
                f"{owner}: `{name}` is {_what_it_is(given[name])}: "
                f"{usage}.{_swapped(name, given, _FITS[kind])}"
            )


def _swapped(name: str, given: Mapping[str, Any], fits: Callable[[Any], bool]) -> str:
    others = [other for other, value in given.items() if other != name and fits(value)]
    return f" Are `{name}` and `{others[0]}` swapped?" if others else ""


def _is_pair(x: Any) -> bool:
    """Whether this is a transformation, ours or another pair of functions."""
    if isinstance(x, GradientTransformation):
        return True
    return isinstance(x, tuple) and len(x) == 2 and all(map(callable, x))


def _is_constructor(x: Any) -> bool:
    return callable(x)  # whoever reads it as a transformation asks whether it was not called


def _has_state(x: Any) -> bool:
    """Whether there is a state of ours in a tree."""
    found: list[Any] = []

    def look(node: Any) -> bool:
        if typed_fields(node):
            found.append(node)
        return bool(found)

    with contextlib.suppress(TypeError, ValueError):  # no tree, which others will say
        jax.tree.flatten(x, is_leaf=look)
    return bool(found)


def _is_saved(x: Any) -> bool:
    return isinstance(x, Mapping) and "gradtx.state/version" in x


def _is_text(x: Any) -> bool:
    return isinstance(x, (str, re.Pattern))


def _is_no_state(x: Any) -> bool:
    return _is_pair(x) or _is_saved(x) or _is_text(x)


def _is_no_params(x: Any) -> bool:
    """Whether this is known to be something else than parameters."""
    return _is_pair(x) or _is_saved(x) or _is_text(x) or _has_state(x)


# By the last word of a parameter's name: what cannot be it, and what may be.
_NOT: dict[str, Callable[[Any], bool]] = {"state": _is_no_state, "params": _is_no_params}
_FITS: dict[str, Callable[[Any], bool]] = {
    "state": _has_state,
    "params": lambda x: not _is_no_params(x) and bool(jax.tree.leaves(x)),
}


def _what_it_is(x: Any) -> str:
    """What was given in the place of something else."""
    if isinstance(x, str):
        return f"the string {x!r}"
    if isinstance(x, re.Pattern):
        return f"the pattern {x.pattern!r}"
    if _is_pair(x):
        return "a transformation"
    if _is_saved(x):
        return "a saved state, as export(tx, state) returns it"
    if typed_fields(x) is not None or _has_state(x):
        return f"a state ({type(x).__name__})"
    name = type(x).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
