"""Printing described values: as the call that makes them, and as a tree of their parts."""

import enum
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .describe import Description, is_dtype
from .leaves import is_traced

_WIDTH = 88


def written(description: Description, indent: int = 0, width: float = _WIDTH) -> str:
    """The call that makes the value; one argument a line when it does not fit on one."""
    parts = []
    for name, value in description.written_arguments():
        text = _value(value, indent + 4, width)
        parts.append(text if name is None else f"{name}={text}")
    line = f"{description.name}({', '.join(parts)})"
    if "\n" not in line and len(line) + indent <= width:
        return line
    pad = " " * (indent + 4)
    body = "".join(f"{pad}{part},\n" for part in parts)
    return f"{description.name}(\n{body}{' ' * indent})"


def _value(value: Any, indent: int, width: float) -> str:
    description = getattr(value, "description", None)
    if isinstance(description, Description):
        return written(description, indent, width)
    if isinstance(value, tuple) and type(value) is tuple:
        inner = ", ".join(_value(v, indent, width) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(_value(v, indent, width) for v in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_value(v, indent, width)}" for k, v in value.items()) + "}"
    return short(value)


def short(value: Any) -> str:
    """One value on one line."""
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        if is_traced(value):
            return f"<traced {jax.typeof(value).str_short()}>"
        if jnp.issubdtype(value.dtype, jax.dtypes.extended):
            return f"<{value.dtype}{list(value.shape)}>"
        if value.size <= 8:
            return f"array({np.asarray(value).tolist()}, {value.dtype.name})"
        return f"<{value.dtype.name}{list(value.shape)}>"
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, np.dtype) or (isinstance(value, type) and is_dtype(value)):
        return repr(jnp.dtype(value).name)
    if isinstance(value, functools.partial):
        return repr(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    return repr(value)


def tree(transformation: Any) -> str:
    """A transformation and, below it, the parts it is made of."""
    return "\n".join(_lines(transformation))


def _lines(transformation: Any, label: str = "") -> list[str]:
    description, parts = getattr(transformation, "description", None), _parts(transformation)
    if description is None:
        return [f"{label}{transformation!r}"]
    # What is made of parts says what was asked for; the parts below it say the rest.
    written_ones = description.written_arguments(all_of_them=not parts)
    arguments = [
        on_one_line(value) if name is None else f"{name}={on_one_line(value)}"
        for name, value in written_ones
        if not (_is_part(value) or (parts and name is None and isinstance(value, tuple)))
    ]
    bare = parts and not arguments
    lines = [label + description.name + ("" if bare else f"({', '.join(arguments)})")]
    for index, (name, part) in enumerate(parts):
        last = index == len(parts) - 1
        first, *rest = _lines(part, f"{name}: " if name else "")
        lines.append(("└── " if last else "├── ") + first)
        lines += [("    " if last else "│   ") + line for line in rest]
    return lines


def on_one_line(value: Any) -> str:
    """A value on one line, however long."""
    return _value(value, 0, float("inf"))


def _parts(transformation: Any) -> list[tuple[str, Any]]:
    body = getattr(getattr(transformation, "update", None), "body", None)
    return list(body.parts()) if body is not None else []


def _is_part(value: Any) -> bool:
    if hasattr(value, "init") and hasattr(value, "update"):
        return True
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, (tuple, list)) and any(_is_part(v) for v in value)
