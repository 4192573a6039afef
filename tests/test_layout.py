"""The rules that keep the code findable: file sizes, directions of imports, docstrings."""

import ast
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gradtx
from docs import _api as api

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gradtx"
LONGEST = 400

# Where people write, and the endings of what they write there; "" is Makefile and its like.
WRITTEN = ("gradtx", "tests", "examples", "benchmarks", "docs", ".ci")
TEXT = {".py", ".pyi", ".md", ".toml", ".yml", ".txt", ".json", ".jinja", ".typed", ""}

# A package imports from the rows above its own, and from itself; never sideways or down. Public
# names come together in gradtx/__init__.pyi and gradtx/_states.py.
ORDER = (
    ("_lazy",),
    ("_core",),
    ("typing", "numerics"),
    ("tree",),
    ("schedules", "curvature", "projections"),
    ("losses", "_tools", "microbatching"),
    ("_parts",),
    ("_moments",),
    ("_wrap",),
    ("_groups", "_accumulate", "_hyperparams", "_metrics", "_narrow"),
    ("_guard", "_linesearch"),
    ("_stepsize",),
    ("_matrix",),
    ("_optimizers",),
    ("sharding",),
    ("state",),
    ("plot", "testing"),
    ("_states",),
)
LEVEL = {name: level for level, row in enumerate(ORDER) for name in row}

# These import their partners, and only on request.
WITH_PARTNERS = {"plot", "testing"}
CORE_IMPORTS = {"gradtx", "jax", "numpy"} | sys.stdlib_module_names

# Rules from the literature: their constructors cite it.
CITING = {"_moments", "_linesearch", "_optimizers", "_stepsize"}


def python_files(*folders):
    """Return every Python file of the folders, as paths from the root."""
    files = (f for folder in folders for f in sorted((ROOT / folder).rglob("*.py")))
    return [f.relative_to(ROOT) for f in files]


def written_files():
    """Return the text files that people wrote, as paths from the root.

    They are found without Git, so that an unpacked archive passes too. `docs/api` is generated.
    """
    inside = (f for folder in WRITTEN for f in (ROOT / folder).rglob("*"))
    files = (f.relative_to(ROOT) for f in (*inside, *ROOT.iterdir()) if f.is_file())
    return sorted(f for f in files if f.suffix in TEXT and f.parts[:2] != ("docs", "api"))


def parse(path):
    """Return the syntax tree of a file given by its path from the root."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def parent(path):
    """Return the package of gradtx that a file belongs to, '' for gradtx/__init__.py."""
    name = path.parts[1].removesuffix(".py")
    return "" if name == "__init__" else name


def imports(path):
    """Return (line, absolute dotted name) for each import in a file, those in functions too."""
    package = path.with_suffix("").parts[:-1]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join((*base, *(node.module or "").split("."))).strip(".")
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)


def public_names():
    """Return (dotted name, object) for all of gradtx and of its public packages."""
    modules = [gradtx] + [
        importlib.import_module(f"gradtx.{name}")
        for name in LEVEL
        if not name.startswith("_") and name not in WITH_PARTNERS and exists(name)
    ]
    for module in modules:
        for name in api.exports(module):
            yield f"{module.__name__}.{name}", getattr(module, name)


def exists(name):
    """Say whether gradtx has this package or module."""
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def is_ours(thing):
    """Say whether a public name holds a function or class of gradtx, not a constant or alias."""
    written = inspect.isfunction(thing) or inspect.isclass(thing)
    return written and thing.__module__.split(".")[0] == "gradtx"


PUBLIC = {name: thing for name, thing in public_names() if is_ours(thing)}
FUNCTIONS = {name: f for name, f in PUBLIC.items() if inspect.isfunction(f)}


def home(function):
    """Return the package of gradtx where a function is written."""
    return inspect.unwrap(function).__module__.split(".")[1]


def cites(function):
    """Say whether a function makes a transformation after a published rule."""
    returns = inspect.signature(function).return_annotation
    name = returns if isinstance(returns, str) else getattr(returns, "__name__", "")
    return home(function) in CITING and "GradientTransformation" in name


@pytest.mark.parametrize("path", [f for f in written_files() if f.name != "LICENSE"])
def test_no_file_is_long(path):
    """One idea a file: what grows over 400 lines holds two."""
    lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{path} has {lines} lines; split it by ideas"


def test_written_files_are_of_every_kind():
    """A list that misses a kind of file would let it grow."""
    found = {str(path) for path in written_files()}
    assert {"Makefile", "README.md", "mkdocs.yml", "pyproject.toml", ".ci/run"} <= found
    assert {"docs/index.md", "gradtx/__init__.pyi", "tests/test_layout.py"} <= found
    assert any(name.endswith(".jinja") for name in found)
    assert not any(name.startswith("docs/api/") for name in found)


@pytest.mark.parametrize("path", python_files("gradtx"))
def test_module_says_what_it_is(path):
    assert ast.get_docstring(parse(path)), f"{path} has no docstring"


@pytest.mark.parametrize("path", python_files("gradtx"))
def test_core_imports_only_jax_and_numpy(path):
    if parent(path) in WITH_PARTNERS:
        return
    alien = [(n, m) for n, m in imports(path) if m.split(".")[0] not in CORE_IMPORTS]
    assert not alien, f"{path} imports what users may not have: {alien}"


@pytest.mark.parametrize("path", python_files("gradtx"))
def test_imports_go_one_way(path):
    here = parent(path)
    if not here:
        return  # gradtx/__init__.py knows them all
    assert here in LEVEL, f"{here} has no row in ORDER: say where it stands"
    for line, module in imports(path):
        parts = module.split(".")
        if parts[0] != "gradtx":
            continue
        there = parts[1] if len(parts) > 1 else ""
        assert there == here or LEVEL.get(there, len(ORDER)) < LEVEL[here], (
            f"{path}:{line} imports {module}, but {here} stands above it in ORDER"
        )


def test_order_names_what_exists():
    """A row for a package that is gone would hide a misspelt one."""
    assert [name for name in LEVEL if not exists(name)] == []


def test_importing_gradtx_imports_only_jax_and_numpy():
    """What all of gradtx adds to `import jax, numpy` is gradtx and the standard library."""
    code = (
        "import sys, jax, numpy; before = set(sys.modules);"
        "from gradtx._lazy import load_all; load_all();"
        "print(*{m.split('.')[0] for m in set(sys.modules) - before})"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert set(out.stdout.split()) - CORE_IMPORTS - {"jaxlib"} == set()
    assert "gradtx" in out.stdout.split()


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_is_documented(name):
    doc = inspect.getdoc(PUBLIC[name]) or ""
    generated = f"{name.split('.')[-1]}("  # what NamedTuple and dataclass write by themselves
    assert doc and not doc.startswith(generated), f"{name} has no docstring"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_docstring_names_every_argument(name):
    function = FUNCTIONS[name]
    parameters = [
        ("*" * (p.kind is p.VAR_POSITIONAL) + "**" * (p.kind is p.VAR_KEYWORD)) + p.name
        for p in inspect.signature(function).parameters.values()
    ]
    doc = inspect.getdoc(function) or ""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", doc, re.MULTILINE)
    assert bool(section) >= bool(parameters), f"{name} takes arguments but has no section Args"
    listed = re.findall(r"^    (\*{0,2}\w+)(?: \(.*\))?:", section[1] if section else "", re.M)
    assert listed == parameters, f"{name}: Args lists {listed}, the signature has {parameters}"


@pytest.mark.parametrize("name", sorted(n for n, f in FUNCTIONS.items() if cites(f)))
def test_rule_cites_its_source(name):
    doc = inspect.getdoc(FUNCTIONS[name]) or ""
    assert re.search(r"^Source: \S", doc, re.MULTILINE), f"{name} has no line 'Source: ...'"


# Offered in two places: at the top, where users of chains look for them, and with their kind.
# Optax has schedules and losses at the top, too; a `merge` and a count belong to rules and users.
TWO_PATHS = {"add", "divide", "multiply", "safe_increment", *api.exports(gradtx.schedules)}
TWO_PATHS |= set(api.exports(gradtx.losses))
# A second name of the same thing, and what Optax has both at the top and in `tree`.
TWO_PATHS |= {*api.exports(gradtx._tools.aliases), "GradientTransformation", "EmptyState"}
TWO_PATHS |= {"map_params", "bias_correction", "microbatch"}
TWO_PATHS |= {"partition", "multi_transform", "PartitionState", "MultiTransformState"}
TWO_PATHS |= {"inject_hyperparams", "inject_stateful_hyperparams"}
TWO_PATHS |= {"InjectHyperparamsState", "InjectStatefulHyperparamsState"}
TWO_PATHS |= {f"update_{name}" for name in ("moment", "infinity_moment", "moment_per_elem_norm")}


def test_public_names_have_one_path():
    """A name stands in gradtx or in one public package, not in both."""
    paths = {}
    for name, thing in PUBLIC.items():
        paths.setdefault(id(thing), set()).add(name)
    shared = {names for names in map(frozenset, paths.values()) if len(names) > 1}
    assert {name.split(".")[-1] for names in shared for name in names} <= TWO_PATHS


def test_version_stands_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert gradtx.__version__ == project["version"]
    assert f"## [{gradtx.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_runtime_needs_jax_and_numpy_only():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[<>=!~ \[]", need)[0] for need in project["dependencies"]}
    assert names == {"jax", "numpy"}


def test_package_is_typed():
    assert (PACKAGE / "py.typed").is_file()


# A path of the machine where it was written helps no reader.
MACHINE_PATH = re.compile(r"(?<![\w.:/<}])(?:/(?:work|home|root|tmp|opt|mnt|Users)/\w|file://)")


def test_no_machine_paths():
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in written_files()
        if ROOT / path != Path(__file__)
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("cd /home/someone/gradtx", True),
        ('open("/tmp/params.npz")', True),
        ("see https://example.org/home/page", False),
        ("the ratio work/tmp/step", False),
    ],
)
def test_machine_paths_are_told_from_others(line, is_one):
    assert bool(MACHINE_PATH.search(line)) is is_one
