"""Pickles and JSON configs of described values."""

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .describe import (
    Description,
    constructor_of,
    is_dtype,
    is_registered,
    lookup,
    registered_name,
)
from .leaves import is_traced


def rebuild(constructor: Callable, args: tuple, kwargs: dict) -> Any:
    """Call a constructor again; what unpickling a described value does."""
    return constructor(*args, **kwargs)


def check_picklable(description: Description) -> None:
    """Raise a TypeError that names the first argument that has no name to be found by."""
    for name, value in description.arguments.items():
        for leaf in jax.tree.leaves(value, is_leaf=_is_described):
            if is_traced(leaf):
                raise TypeError(
                    f"cannot pickle {description.name}: its argument `{name}` is a traced value."
                )
            if _has_no_name(leaf):
                raise TypeError(
                    f"cannot pickle {description.name}: its argument `{name}` is "
                    f"{leaf.__qualname__}, a function without a name at module level. Use one of "
                    "gradtx.schedules, or define the function at module level."
                )


def _is_described(value: Any) -> bool:
    return isinstance(getattr(value, "description", None), Description)


def _has_no_name(value: Any) -> bool:
    return callable(value) and "<" in getattr(value, "__qualname__", "")


def to_config(value: Any) -> Any:
    """A described value as JSON types: dicts, lists, strings, numbers, booleans, None.

    Args:
        value: A transformation or a schedule.

    Returns:
        `{"call": constructor, "arguments": {...}}`, ready for `json.dumps`.

    Raises:
        TypeError: If an argument is a function that is not registered, a traced value or of a
            type that JSON cannot hold; the message names the argument.
    """
    return _encode(value, "value")


def from_config(config: Any) -> Any:
    """The value that `to_config` was given.

    Args:
        config: What `to_config` returned, also after a trip through `json`.

    Returns:
        A value equal to the first one.

    Raises:
        ValueError: If it names a constructor that is not registered, or is no config.
    """
    if not isinstance(config, dict):
        raise ValueError(
            "from_config: a config must be a dict, what `to_config` returned, but is "
            f"{config!r}.{_if_text(config)}"
        )
    return _decode(config)


def _if_text(config: Any) -> str:
    """What is probably meant by text in the place of a config, as a sentence."""
    if not isinstance(config, str):
        return ""
    if config.lstrip().startswith("{"):
        return " JSON? Give json.loads of it."
    return f" Was gradtx.{config}(...).to_config() meant?" if constructor_of(config) else ""


def _encode(value: Any, where: str) -> Any:
    description = getattr(value, "description", None)
    if isinstance(description, Description):
        if not is_registered(description.constructor):
            raise TypeError(f"to_config: the constructor of {where} is not registered.")
        arguments = {
            k: _encode(v, f"`{k}` of {description.name}") for k, v in description.arguments.items()
        }
        return {"call": registered_name(description.constructor), "arguments": arguments}
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if type(value) is list:
        return [_encode(v, where) for v in value]
    if type(value) is tuple:
        return {"tuple": [_encode(v, where) for v in value]}
    if isinstance(value, tuple) and is_registered(type(value)):
        fields = [_encode(v, where) for v in value]
        return {"named_tuple": registered_name(type(value)), "fields": fields}
    if type(value) is dict:
        return {"dict": [[_encode(k, where), _encode(v, where)] for k, v in value.items()]}
    if isinstance(value, np.dtype) or (isinstance(value, type) and is_dtype(value)):
        return {"dtype": jnp.dtype(value).name}
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _encode_array(value, where)
    if isinstance(value, jax.sharding.PartitionSpec):
        return {"spec": [_encode(entry, where) for entry in value]}
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        return {"regex": value.pattern, "flags": value.flags}
    if callable(value) and is_registered(value):
        return {"function": registered_name(value)}
    if callable(value):
        raise TypeError(
            f"to_config: {where} is the function {getattr(value, '__qualname__', value)!r}, which "
            "has no registered name. Use one of gradtx.schedules, or a module-level function "
            "decorated with gradtx.register."
        )
    raise TypeError(f"to_config: {where} is a {type(value).__name__}, which a config cannot hold.")


def _encode_array(value: Any, where: str) -> dict:
    if is_traced(value):
        raise TypeError(f"to_config: {where} is a traced value.")
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        data = np.asarray(jax.random.key_data(value)).tolist()
        return {"key": data, "implementation": str(jax.random.key_impl(value))}
    host = np.asarray(value)
    return {"array": host.tobytes().hex(), "dtype": host.dtype.name, "shape": list(host.shape)}


def _decode(config: Any) -> Any:
    if isinstance(config, list):
        return [_decode(v) for v in config]
    if not isinstance(config, dict):
        return config
    if "call" in config:
        constructor = lookup(config["call"])
        signature = getattr(constructor, "__signature__", None)
        if signature is None or not isinstance(config.get("arguments", {}), dict):
            raise ValueError(f"config: {config!r} is no call of a constructor.")
        arguments = {k: _decode(v) for k, v in config.get("arguments", {}).items()}
        try:
            return _call(constructor, signature, arguments)
        except TypeError as error:
            raise ValueError(f"config: {error}") from error
    for kind, decode in _DECODERS.items():
        if kind in config:
            return decode(config)
    raise ValueError(f"config: {config!r} is no config of a transformation, schedule or value.")


def _call(constructor: Callable, signature, arguments: dict) -> Any:
    args: list = []
    kwargs: dict = {}
    for name, parameter in signature.parameters.items():
        if name not in arguments:
            continue
        value = arguments.pop(name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs |= value
        elif parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[name] = value
        else:
            args.append(value)
    return constructor(*args, **kwargs, **arguments)


def _decode_array(config: dict) -> Any:
    flat = np.frombuffer(bytes.fromhex(config["array"]), dtype=jnp.dtype(config["dtype"]))
    return flat.reshape(config["shape"]).copy()  # as NumPy: JAX would narrow float64


_DECODERS: dict[str, Callable[[dict], Any]] = {
    "float": lambda c: float(c["float"]),
    "tuple": lambda c: tuple(_decode(v) for v in c["tuple"]),
    "named_tuple": lambda c: lookup(c["named_tuple"])(*map(_decode, c["fields"])),
    "dict": lambda c: {_decode(k): _decode(v) for k, v in c["dict"]},
    "array": _decode_array,  # before "dtype", which an array has too
    "dtype": lambda c: jnp.dtype(c["dtype"]),
    "key": lambda c: jax.random.wrap_key_data(
        jnp.asarray(c["key"], jnp.uint32), impl=c["implementation"]
    ),
    "spec": lambda c: jax.sharding.PartitionSpec(*_decode(c["spec"])),
    "regex": lambda c: re.compile(c["regex"], c["flags"]),
    "function": lambda c: lookup(c["function"]),
}
