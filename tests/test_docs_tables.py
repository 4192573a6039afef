"""The tables of the documentation say what the signatures and the states say."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx import _optimizers
from tests.optax_deviations import DEVIATIONS, NUMBERS

DEFAULTS = ("defaults.md", "defaults-curvature.md", "defaults-young.md")
DIFFERENCES = ("differences.md", "differences-wrappers.md")
DOCS = Path(__file__).parent.parent / "docs"
PUBLIC = set(dir(gradtx))
# Not compared in the tables of defaults: they say where, in what dtype or at random, not what.
NO_NUMBERS = {
    "accumulator_dtype",
    "average_axes",
    "dtype_momentum",
    "hessian_diagonal_fn",
    "key",
    "mask",
    "mu_dtype",
    "muon_weight_dimension_numbers",
    "ns_dtype",
    "seed",
    "state_dtype",
    "trust_ratio_mask",
    "weight_decay_mask",
    "weight_dimension_numbers",
}


def tables(page):
    """Return the tables of a page, each a list of rows of cells."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        lines = [line for line in block.splitlines() if not set(line) <= set("|- ")]
        yield [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def columns(library):
    """Return {name: {argument: cell}} for one library, from the tables of defaults."""
    found = {}
    for head, *rows in (table for page in DEFAULTS for table in tables(page)):
        for place, title in enumerate(head):
            if match := re.fullmatch(rf"{library} `(\w+)`", title):
                cells = {row[0]: row[place] for row in rows}
                found.setdefault(match[1], {}).update(cells)
    return found


def as_cell(default):
    """Return a default as the tables write it."""
    if default is inspect.Parameter.empty:
        return "required"
    if default is None or isinstance(default, bool | str):
        return str(default)
    if hasattr(default, "update"):
        return "a transformation"
    if callable(default):
        return "a function"
    if isinstance(default, tuple):
        return f"({', '.join(map(as_cell, default))})"
    return re.sub(r"e-0", "e-", f"{default:g}")


def defaults(function):
    """Return {argument: cell} of a constructor."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: as_cell(p.default) for p in parameters if p.name not in NO_NUMBERS}


def optimizers():
    """Return the public optimizers by name."""
    infos = pkgutil.iter_modules(_optimizers.__path__)
    modules = [importlib.import_module(f"gradtx._optimizers.{info.name}") for info in infos]
    return {
        name: thing
        for module in modules
        for name, thing in vars(module).items()
        if name in PUBLIC and getattr(thing, "__module__", None) == module.__name__
    }


def test_every_optimizer_has_a_table_of_defaults():
    assert set(columns("gradtx")) == set(optimizers())


@pytest.mark.parametrize("name", sorted(optimizers()))
def test_defaults_of_gradtx(name):
    cells = columns("gradtx")[name]
    assert {a: c for a, c in cells.items() if c != "-"} == defaults(optimizers()[name])


def rows_of_choosing():
    """Return {code in the first column: the row} of the table of all optimizers."""
    (table,) = [t for t in tables("choosing.md") if t[0][:2] == ["optimizer", "copies"]]
    return {row[0].strip("`"): row for row in table[1:]}


def test_every_optimizer_stands_in_the_guide():
    names = {code.split("(")[0] for code in rows_of_choosing()}
    assert names == set(optimizers()) | {"nesterov_lookahead"}


@pytest.mark.parametrize("code", sorted(rows_of_choosing()))
def test_copies_of_the_state(code):
    name, _, options = code.partition("(")
    constructor = getattr(gradtx, name)
    parameters = inspect.signature(constructor).parameters.values()
    required = {p.name: 0.1 for p in parameters if p.default is p.empty}
    keywords = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", options)}
    if name == "dpsgd":
        required["key"] = 0
    tx = constructor(**required, **keywords)
    params = jax.ShapeDtypeStruct((1024, 1024), jnp.float32)
    leaves = jax.tree.leaves(jax.eval_shape(tx.init, params))
    copies = sum(leaf.size for leaf in leaves) / params.size
    assert f"{copies:.3f}".rstrip("0").rstrip(".") == rows_of_choosing()[code][1]


def test_every_deviation_from_optax_is_told():
    """What differs from Optax by the tests' list has a heading that names it."""
    text = "\n".join((DOCS / page).read_text(encoding="utf-8") for page in DIFFERENCES)
    titles = " ".join(line for line in text.splitlines() if line.startswith("### "))
    told = set(re.findall(r"`(\w+)`", titles))
    differing = {line.split(" / ")[0] for line in (*DEVIATIONS, *NUMBERS)}
    assert {name.removeprefix("scale_by_") for name in differing} <= {
        name.removeprefix("scale_by_") for name in told
    }
