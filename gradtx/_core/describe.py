"""Described values: things that know the constructor and the arguments that made them.

A description is what `repr`, `==`, `hash`, pickling and the JSON config of a transformation or a
schedule go by. Constructors are entered in a registry when they are decorated, and configs are
read through that registry alone: a config can never import or call anything else.
"""

import dataclasses
import difflib
import enum
import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._lazy import load_all
from .leaves import is_traced

_REGISTRY: dict[str, Callable] = {}


def register(function: Callable) -> Callable:
    """Make a function part of described values: compared by name, allowed in pickles and configs.

    Args:
        function: A module-level function, for example the `merge` of a `parallel` or a mask.
            Its config name is its own name, with its module in front outside gradtx.

    Returns:
        The function itself, so that this can be used as a decorator.

    Raises:
        ValueError: If it is a lambda or defined inside another function: such a function has no
            name by which it could be found again.
    """
    if "<" in function.__qualname__:
        raise ValueError(
            f"register: {function.__qualname__} must be a named function at module level, so that "
            "it can be found again by its name."
        )
    _REGISTRY[registered_name(function)] = function
    return function


def registered_name(function: Callable) -> str:
    """The name of a function in configs."""
    module = function.__module__
    if module == "gradtx" or module.startswith("gradtx."):
        return function.__name__
    return f"{module}.{function.__qualname__}"


def is_registered(function: Callable) -> bool:
    """Whether the function is in the registry under its own name."""
    return (
        hasattr(function, "__qualname__") and _REGISTRY.get(registered_name(function)) is function
    )


def constructor_of(name: str) -> Callable | None:
    """The registered function of that name, if there is one."""
    if name not in _REGISTRY and "." not in name:  # one of ours, or misspelt
        load_all()
    return _REGISTRY.get(name)


def lookup(name: str) -> Callable:
    """The registered function of that name, or an error that says how to get it there."""
    constructor = constructor_of(name)
    if constructor is None:
        close = difflib.get_close_matches(str(name), _REGISTRY, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"config: no constructor or function is registered as {name!r}. If it is your own, "
            f"import the module that defines it first.{hint}"
        )
    return constructor


@dataclasses.dataclass(frozen=True, eq=False)
class Description:
    """A constructor and its bound arguments.

    Attributes:
        constructor: The public (decorated) constructor.
        signature: Its signature.
        arguments: Its arguments by name, defaults included; `*args` is one tuple.
    """

    constructor: Callable
    signature: inspect.Signature
    arguments: dict[str, Any]

    @property
    def name(self) -> str:
        """The constructor's name as one writes it."""
        return self.constructor.__name__

    @property
    def key(self) -> tuple[Any, ...]:
        """What equality and hash go by."""
        return (self.constructor, value_key(tuple(self.arguments.items())))

    def call_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as (args, kwargs) that make the same value again."""
        bound = inspect.BoundArguments(self.signature, dict(self.arguments))
        return bound.args, bound.kwargs

    def written_arguments(self, all_of_them: bool = False) -> list[tuple[str | None, Any]]:
        """(name, value) of what a person would write: what differs from the defaults.

        Starred arguments, and those without a keyword, have the name None.

        Args:
            all_of_them: Whether to tell the numbers that are at their defaults, too.
        """
        written: list[tuple[str | None, Any]] = []
        for parameter in self.signature.parameters.values():
            value: Any = self.arguments.get(parameter.name, parameter.default)
            if parameter.kind is parameter.VAR_POSITIONAL:
                written += [(None, v) for v in value]
                continue
            if parameter.kind is parameter.VAR_KEYWORD:
                written += list(value.items())
                continue
            required = parameter.default is parameter.empty
            telling = all_of_them and value is not None and not isinstance(value, bool)
            if required or telling or value_key(value) != value_key(parameter.default):
                only_by_place = parameter.kind is parameter.POSITIONAL_ONLY
                written.append((None if only_by_place else parameter.name, value))
        return written


class _Identity:
    """Equality and hash of an object by what it is, not by what it holds."""

    def __init__(self, thing):
        self.thing = thing

    def __eq__(self, other):
        return isinstance(other, _Identity) and self.thing is other.thing

    def __hash__(self):
        return id(self.thing)


def value_key(value) -> Any:
    """A hashable stand-in for a value; two values are the same exactly if their keys are equal.

    Numbers carry their type (1, 1.0 and True differ), arrays go by dtype, shape and bytes,
    described values by their description, other pytrees by structure and leaves, and functions,
    traced values and everything else by identity.
    """
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _array_key(value)  # first: np.float64 is a float, too
    if value is None or isinstance(value, (str, bytes, bool, int, complex)):
        return (type(value), value)
    if isinstance(value, float):
        return (float, value.hex())  # tells 0.0 from -0.0 and finds nan equal to itself
    if isinstance(value, enum.Enum):
        return (type(value), value.name)
    if isinstance(value, np.dtype) or (isinstance(value, type) and is_dtype(value)):
        return ("dtype", jnp.dtype(value).name)
    if isinstance(value, jax.sharding.PartitionSpec):
        return ("spec", value)
    if isinstance(value, re.Pattern):
        return ("regex", value.pattern, value.flags)
    description = getattr(value, "description", None)
    if isinstance(description, Description):
        return ("described", description.key)
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return (type(value), tuple(value_key(v) for v in value))
    if isinstance(value, dict):
        items = {value_key(k): value_key(v) for k, v in value.items()}
        return (dict, frozenset(items.items()))  # a pytree has no order of insertion
    leaves, treedef = jax.tree.flatten(value)
    if len(leaves) == 1 and leaves[0] is value:
        return _Identity(value)
    return ("tree", treedef, tuple(value_key(leaf) for leaf in leaves))


def is_dtype(value: type) -> bool:
    """Whether a class stands for a dtype, as `jnp.float32` does."""
    return issubclass(value, np.generic) or hasattr(value, "dtype")


def _array_key(value) -> Any:
    if is_traced(value):
        return _Identity(value)
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        data = jax.random.key_data(value)
        return ("key", str(value.dtype), data.shape, np.asarray(data).tobytes())
    host = np.asarray(value)
    return ("array", host.dtype.name, host.shape, host.tobytes())
