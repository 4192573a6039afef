"""Composable gradient transformations for JAX.

The names stand in `__init__.pyi`, where type checkers find them, too. Each is imported when it is
first asked for: all of them together would take a quarter of the time that `import jax` takes, and
a program needs few.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

from ._lazy import imports as _imports
from ._lazy import load as _load

__version__ = "0.1.0"

_NAMES = _imports()
# These may need what is not installed, so that they are no names, but submodules on request.
_WITH_PARTNERS = ("plot", "testing")

__all__ = list(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> _Any:
    if name in _NAMES:
        value = globals()[name] = _load(name)
        return value
    if name in _WITH_PARTNERS:
        return _import_module(f".{name}", __name__)
    from ._tools.moved import missing

    raise missing(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
