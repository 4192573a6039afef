"""Where the names of gradtx come from, read from its stub, and how they are got from there."""

import ast
import functools
from importlib import import_module
from pathlib import Path
from typing import Any

_PACKAGE = __name__.rpartition(".")[0]


@functools.cache
def imports() -> dict[str, tuple[str, str | None]]:
    """The module and the attribute that each public name stands for, None for the module itself."""
    return _imports_in("__init__.pyi")


def load(name: str) -> Any:
    """What a public name stands for; its module is imported if need be."""
    module, attribute = imports()[name]
    loaded = import_module(module)
    return loaded if attribute is None else getattr(loaded, attribute)


@functools.cache
def load_all() -> None:
    """Import the module of every public name, so that all that is registered is in its registry."""
    for name in imports():
        load(name)


def _imports_in(file: str) -> dict[str, tuple[str, str | None]]:
    """The names that the relative imports of a file bind, `from x import *` by the file of x."""
    path = Path(__file__).with_name(file)
    data = __loader__.get_data(str(path))  # also out of a zip file
    found = {}
    for node in ast.parse(data).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if alias.name == "*":
                found |= _imports_in(f"{node.module}.py")
            elif node.module is None:
                found[alias.name] = (f"{_PACKAGE}.{alias.name}", None)
            else:
                found[alias.asname or alias.name] = (f"{_PACKAGE}.{node.module}", alias.name)
    return found
