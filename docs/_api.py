"""Write docs/api/*.md: every public name of gradtx, on the page of the package it comes from.

The pages are made, not kept, so that none can lack a name. `make docs` runs this first.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import gradtx

OUT = Path(__file__).parent / "api"

# Private package -> (page, title, what its names have in common). Their names are gradtx.NAME.
PRIVATE = {
    "_optimizers": ("optimizers", "Optimizers", "Named optimizers. Each is one chain of parts."),
    "_wrap": (
        "wrappers",
        "Wrappers",
        "Transformations that run others inside, and what they take.",
    ),
    "_groups": ("groups", "Groups", "Another transformation for some of the parameters."),
    "_accumulate": ("accumulation", "Accumulation", "One step for several gradients."),
    "_hyperparams": (
        "hyperparameters",
        "Hyperparameters in the state",
        "Read, set, scheduled and swept on any finished transformation.",
    ),
    "_metrics": ("metrics", "Numbers out of a step", "What a training run logs."),
    "_narrow": ("narrow", "Narrow parameters", "Parameters of 16 bits that still move."),
    "_guard": ("guards", "Guards", "What happens to a step whose gradients are no numbers."),
    "_stepsize": (
        "stepsize",
        "Step sizes",
        "Rules that find their own step size.",
    ),
    "_linesearch": (
        "linesearch",
        "Line searches",
        "How far to go along a direction, and the directions of L-BFGS.",
    ),
    "_matrix": ("matrix", "Matrices", "Rules that see matrices, and linear algebra."),
    "_moments": ("moments", "Moments and scaling", "Rules that keep running moments."),
    "_parts": ("parts", "Small parts", "Rules of one line."),
    "_tools": ("tools", "Tools", "What training scripts use beside their transformation."),
    "_core": ("core", "Core", "The one type, chains, and what describes a transformation."),
}

# Public package -> title. Their names are gradtx.PACKAGE.NAME; an introduction is its docstring.
PUBLIC = {
    "schedules": "Schedules",
    "losses": "Losses",
    "projections": "Projections",
    "microbatching": "Microbatches",
    "curvature": "Curvature",
    "sharding": "Many devices",
    "state": "State you can keep",
    "tree": "Trees",
    "numerics": "Arithmetic",
    "typing": "Types",
    "plot": "Pictures",
    "testing": "Testing your own",
}


def exports(module: ModuleType) -> list[str]:
    """Return the public names of a module but modules: of its `__all__`, or of all it holds."""
    names = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
    return [name for name in names if not inspect.ismodule(getattr(module, name))]


def home(thing: object) -> str:
    """Return the package of gradtx in which a public thing is written."""
    module = getattr(inspect.unwrap(thing) if callable(thing) else thing, "__module__", "")
    parts = module.split(".")
    return parts[1] if parts[0] == "gradtx" and len(parts) > 1 else "_core"


def page(title: str, introduction: str, names: list[str]) -> str:
    """Return the text of one page: a line a name, but for states, then everything in full."""
    lines = [
        f"| [`{name.rpartition('.')[2]}`](#{name}) | {first} |"
        for name in names
        if not name.endswith("State") and (first := summary(name))
    ]
    contents = "\n".join(["| name | |", "| --- | --- |", *lines])
    blocks = "\n\n".join(f"::: {name}" for name in names)
    return f"# {title}\n\n{introduction}\n\n{contents}\n\n{blocks}\n"


def summary(name: str) -> str:
    """Return the first paragraph of a docstring of gradtx as the cell of a table, or nothing."""
    thing = pkgutil.resolve_name(name)
    if not getattr(thing, "__module__", "").startswith("gradtx"):
        return ""
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def members(package: str) -> list[str]:
    """Return the dotted names that a public package offers.

    Where it offers none by itself, as `gradtx.interop` whose modules import their partners, the
    modules are listed, and not imported.
    """
    module = importlib.import_module(f"gradtx.{package}")
    names = exports(module)
    if not names and hasattr(module, "__path__"):
        modules = pkgutil.iter_modules(module.__path__)
        names = [info.name for info in modules if not info.name.startswith("_")]
    return [f"gradtx.{package}.{name}" for name in names]


def pages() -> dict[str, str]:
    """Return file name -> text for all pages."""
    found: dict[str, list[str]] = {package: [] for package in PRIVATE}
    short = {}  # names that a public package has, too: they stand on its page
    for name in exports(gradtx):
        package = home(getattr(gradtx, name))
        if package in PUBLIC:
            short[f"gradtx.{package}.{name}"] = f"gradtx.{name}"
        else:
            found[package if package in PRIVATE else "_core"].append(f"gradtx.{name}")
    texts = {}
    for package, (stem, title, introduction) in PRIVATE.items():
        texts[stem] = page(title, introduction, found[package])
    for package, title in PUBLIC.items():
        introduction = inspect.getdoc(importlib.import_module(f"gradtx.{package}")) or ""
        names = [short.pop(name, name) for name in members(package)]
        names += [top for name, top in short.items() if name.startswith(f"gradtx.{package}.")]
        texts[package] = page(title, introduction, names)
    return texts


def main() -> None:
    """Write the pages that changed."""
    OUT.mkdir(exist_ok=True)
    texts = pages()
    for old in OUT.glob("*.md"):
        if old.stem not in texts:
            old.unlink()
    for stem, text in texts.items():
        (OUT / f"{stem}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
