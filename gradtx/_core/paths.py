"""Leaves by their paths: the pattern language, and masks made of patterns.

The path of a leaf is its keys, attribute names and indices joined by "/": "blocks/0/norm/scale".
"""

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax

from .arguments import as_flag, is_function
from .constructor import described
from .containers import key_paths
from .describe import register
from .described import DescribedFunction
from .leaves import describe_leaf, flatten, is_inexact

Pattern = str | re.Pattern[str] | Callable[[str, Any], Any] | tuple[Any, ...]

_MOST_SHOWN = 24
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def path_of(key_path: Sequence[Any]) -> str:
    """The path of a leaf as text: its keys, names and indices joined by "/"; "" for a bare leaf.

    Args:
        key_path: Keys as `jax.tree_util.tree_flatten_with_path` has them.
    """
    return jax.tree_util.keystr(tuple(key_path), simple=True, separator="/")


def paths_of(tree: Any) -> list[str]:
    """The path of every leaf, in the order of `leaves.flatten`: None counts as a leaf."""
    return [path_of(path) for path in key_paths(tree)]


def check_pattern(owner: str, pattern: Any) -> None:
    """Raise a TypeError unless this is a pattern.

    Args:
        owner: Who was given it, for messages.
        pattern: What was given.
    """
    if isinstance(pattern, tuple) and pattern:
        for member in pattern:
            check_pattern(owner, member)
        return
    if isinstance(pattern, str):
        for one in pattern.split("|"):
            _glob(one)
        return
    fits = is_function(pattern)
    if not fits and not (isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str)):
        raise TypeError(
            f'{owner}: a pattern must be a string such as "*/bias", a compiled regular expression '
            f"of strings, a function (path, leaf) -> bool or a tuple of these, but is {pattern!r}."
        )
    function: Any = pattern
    if fits and not _takes_two(function):
        raise TypeError(
            f"{owner}: a function that is a pattern must take (path, leaf), but {written(pattern)} "
            f"takes {inspect.signature(function)}."
        )


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind("", None)
    except TypeError:
        return False
    except ValueError:  # some builtins have no signature
        return True
    return True


def matches(pattern: Pattern, path: str, leaf: Any, owner: str = "matches") -> bool:
    """Whether a leaf is one of those that a pattern stands for.

    A string is compared with the whole path: "*" stands for any text, "/" included, "?" for one
    character, "[ab]" for one of several; a leading "*/" also for nothing, and "|" separates
    alternatives. A regular expression is searched in the path, a function (path, leaf) -> bool
    decides itself, and of a tuple any member may match.

    Args:
        pattern: The pattern.
        path: The path of the leaf, see `path_of`.
        leaf: The leaf, for functions.
        owner: Who asks, for messages.

    Raises:
        TypeError: If a function returns something else than True or False.
    """
    if isinstance(pattern, str):
        return any(_glob(one).fullmatch(path) for one in pattern.split("|"))
    if isinstance(pattern, tuple):
        return any(matches(member, path, leaf, owner) for member in pattern)
    if isinstance(pattern, re.Pattern):
        return pattern.search(path) is not None
    flag = as_flag(found := pattern(path, leaf))
    if flag is None:
        raise TypeError(
            f"{owner}: the function {written(pattern)} must return True or False, but returned "
            f"{describe_leaf(found)} at {path!r}. It must go by paths, shapes and dtypes alone."
        )
    return flag


@functools.lru_cache(maxsize=512)
def _glob(text: str) -> re.Pattern:
    """A glob in which "*" crosses "/" and a leading "*/" may stand for nothing."""
    text = re.sub(r"\*+", "*", text)
    start, rest = ("(?:.*/)?", text[2:]) if text.startswith("*/") else ("", text)
    parts = re.split(r"(\*|\?|\[!?[^\]]+\])", rest)
    try:
        return re.compile(start + "".join(_glob_part(part) for part in parts), re.DOTALL)
    except re.error as error:
        raise ValueError(f"The pattern {text!r} is no glob: {error}.") from None


def _glob_part(part: str) -> str:
    if part in ("*", "?"):
        return {"*": ".*", "?": "."}[part]
    if part.startswith("[") and part.endswith("]") and len(part) > 2:
        inside = re.sub(r"[\\\[^]", r"\\\g<0>", part[1:-1])
        return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    return re.escape(part)


def written(pattern: Any) -> str:
    """A pattern in a message."""
    if isinstance(pattern, tuple):
        return f"({', '.join(written(member) for member in pattern)},)"
    if isinstance(pattern, (str, re.Pattern)):
        return repr(pattern)
    return getattr(pattern, "__qualname__", None) or repr(pattern)


def alternatives(pattern: Pattern) -> list[Pattern]:
    """The patterns of which one is enough."""
    if isinstance(pattern, str):
        return list(pattern.split("|"))
    if isinstance(pattern, tuple):
        return [one for member in pattern for one in alternatives(member)]
    return [pattern]


def check_known(owner: str, pattern: Pattern, paths: Sequence[str]) -> None:
    """Raise if a part of a pattern stands for no path at all: then it is misspelt.

    Functions are not asked: what they look for may rightly be absent.

    Args:
        owner: Who was given it, for messages.
        pattern: The pattern.
        paths: All paths there are, also those of leaves that are not trained.

    Raises:
        ValueError: With the paths, and those that the pattern resembles.
    """
    named = tuple(one for one in alternatives(pattern) if not is_function(one))
    for one in _unknown(named, tuple(paths)):
        if list(paths) == [""]:
            raise ValueError(
                f"{owner}: the pattern {written(one)} matches no path: there is one array alone, "
                "which has none. Inside flatten there are no paths: put flatten inside the group."
            )
        whole = "" if one == pattern else f", a part of {written(pattern)},"
        raise ValueError(
            f"{owner}: the pattern {written(one)}{whole} matches no path.{_near(one, paths)} "
            f"The paths are {listed(paths)}."
        )


def _check_matched_here(owner: str, pattern: Pattern, rows: list[tuple[str, Any]]) -> None:
    """Raise if all leaves that a pattern stands for are left out, as those of other groups are.

    Args:
        owner: Who was given it, for messages.
        pattern: The pattern, which matches nothing that is trained.
        rows: (path, leaf) of all leaves, None for those that are left out.

    Raises:
        ValueError: If they are. Functions are not asked.
    """
    if any(is_function(one) for one in alternatives(pattern)):
        return
    fitting = [(path, leaf) for path, leaf in rows if matches(pattern, path, leaf, owner)]
    if all(leaf is None for _, leaf in fitting):
        there = [path for path, leaf in rows if is_inexact(leaf)]
        raise ValueError(
            f"{owner}: the pattern {written(pattern)} matches nothing that is trained here: "
            f"{listed([path for path, _ in fitting])} belong to other groups or rest. Here are "
            f"{listed(there)}."
        )


@functools.lru_cache(maxsize=256)  # a mask is asked for at every step outside of jit
def _unknown(named: tuple[str | re.Pattern, ...], paths: tuple[str, ...]) -> list[Any]:
    return [one for one in named if not any(matches(one, path, None) for path in paths)]


def _near(pattern: Any, paths: Sequence[str]) -> str:
    """What a pattern that matches nothing may have meant, as a sentence."""
    names = sorted({name for path in paths for name in path.split("/")})
    text = pattern if isinstance(pattern, str) else re.sub(r"\W+", "/", pattern.pattern)
    guesses, close = [text], []
    for word in re.split(r"[/*?]+", text):
        close = close or (word not in names and difflib.get_close_matches(word, names, n=1)) or []
        if close:
            guesses.append(text.replace(word, close[0]))
            break
    if isinstance(pattern, str):
        ways = ("{}", "{}/*", "*/{}", "*/{}/*")
        for one in (way.format(guess) for guess in guesses for way in ways):
            if any(_glob(one).fullmatch(path) for path in paths):
                return f" Did you mean {one!r}?"
        lower = {path.lower(): path for path in paths}
        close = [lower[c] for c in difflib.get_close_matches(text.lower(), lower, n=1)] or close
    return f" Did you mean {close[0]!r}?" if close else ""


def listed(paths: Sequence[str]) -> str:
    """Paths in a message: those that differ in numbers alone as one, and not all of very many."""
    shown = [
        repr(name) if len(members) == 1 else f"{name!r} ({len(members)})"
        for name, members in collapsed(paths).items()
    ]
    more = len(shown) - _MOST_SHOWN
    if more > 0:
        shown = [*shown[:_MOST_SHOWN], f"and {more} more"]
    return ", ".join(shown) or "none: nothing there can be trained"


def collapsed(paths: Sequence[str]) -> dict[str, list[str]]:
    """Paths by what they are with "*" for every number; one alone keeps its own."""
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(re.sub(r"\d+", "*", path), []).append(path)
    return {name if len(members) > 1 else members[0]: members for name, members in found.items()}


def _mask(owner: str, pattern: Pattern, kept: bool) -> Callable[[Any], Any]:
    check_pattern(owner, pattern)

    def mask(params: Any) -> Any:
        given, treedef = flatten(params)
        paths = paths_of(params)
        if given:
            check_known(owner, pattern, paths)
        trained = [is_inexact(leaf) for leaf in given]
        flags = [
            on and matches(pattern, path, leaf, owner) is kept
            for on, path, leaf in zip(trained, paths, given, strict=True)
        ]
        if kept and any(trained) and not any(flags):
            _check_matched_here(owner, pattern, list(zip(paths, given, strict=True)))
        return treedef.unflatten(flags)

    return mask


def path_mask(function: Callable[..., Any]) -> Any:
    """Decorate a constructor of masks: what it returns prints, compares and pickles by value."""
    return described(function, DescribedFunction)


@path_mask
def matching(pattern: Pattern) -> Callable[[Any], Any]:
    """The mask of the leaves that a pattern stands for, for every argument that takes a mask.

    It maps parameters to a tree of booleans. A string is compared with the whole path, the keys,
    names and indices of a leaf joined by "/": "*" stands for any text, "/" included, "?" for one
    character, "[ab]" for one of several; a leading "*/" also stands for nothing, and "|" separates
    alternatives. A regular expression is searched in the path, a function (path, leaf) -> bool
    decides itself, and of a tuple of these any may match.

    Args:
        pattern: String, compiled regular expression, function or tuple of such. A function goes by
            the path and by shape and dtype of the leaf; decorate it with `register` if the mask
            shall go into a config.

    Returns:
        A function: parameters -> tree of booleans, False for what cannot be trained.

    Raises:
        TypeError: If the pattern is none of these; when called, if a function returns no boolean.
        ValueError: When called, if a string, one of its alternatives, or an expression matches no
            path of the parameters; or inside a group if all it matches belongs to other groups.

    Example:
        >>> import jax.numpy as jnp, gradtx as gx
        >>> params = {"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
        >>> gx.matching("*/bias")(params)
        {'dense': {'bias': True, 'kernel': False}}
    """
    return _mask("matching", pattern, True)


@path_mask
def excluding(pattern: Pattern) -> Callable[[Any], Any]:
    """The mask of the leaves that a pattern does not stand for: the opposite of `matching`.

    Args:
        pattern: As for `matching`.

    Returns:
        A function: parameters -> tree of booleans, False for what cannot be trained.

    Raises:
        TypeError: As for `matching`.
        ValueError: As for `matching`.

    Example:
        >>> import gradtx as gx
        >>> tx = gx.adamw(1e-3, mask=gx.excluding(gx.norms_biases_embeddings))
    """
    return _mask("excluding", pattern, False)


@register
def norms_biases_embeddings(path: str, leaf: Any) -> bool:
    """Whether a parameter is one that weight decay usually spares: of a norm, bias or embedding.

    True for arrays with at most one axis, and wherever a word of the path, in any case, is "bias",
    "biases" or "scale", ends in "norm" or "norms", or contains "embed". Words are runs of letters,
    cut where a small letter is followed by a capital one: those of "LayerNorm_0" are "layer" and
    "norm". So a bias of stacked layers, which has two axes, is found by its name.

    Args:
        path: Path of the parameter.
        leaf: The parameter, of which the shape counts.

    Returns:
        True or False.
    """
    if len(getattr(leaf, "shape", ())) <= 1:
        return True
    words = [word.lower() for word in _WORDS.findall(path)]
    return any(
        word in ("bias", "biases", "scale") or word.endswith(("norm", "norms")) or "embed" in word
        for word in words
    )
