"""What the documentation says is true: its snippets run, its examples give what they show."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import gradtx
from docs import _api as api

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    + [p for p in (ROOT / "docs").rglob("*.md") if "api" not in p.relative_to(ROOT).parts]
)
FENCE = re.compile(
    r"^( *)```python[^\n]*\n(.*?)^\1```[ ]*$(?:\n+^\1```text\n(.*?)^\1```[ ]*$)?",
    re.MULTILINE | re.DOTALL,
)
PEERS = re.compile(
    r"^\s*(?:>>> )?(?:import|from) (?:torch|optax|flax|equinox|haiku)\b", re.MULTILINE
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(text):
    """Return (line before, code, output) for each fenced block of Python in a page.

    The output is the block of text that follows at once, or None.
    """
    for match in FENCE.finditer(text):
        indent, code, output = match.groups()
        line = text[: match.start(2)].count("\n")
        yield line, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE), output


def page_parameters():
    """Return one test a page with code; pages that import a peer need that peer."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        if codes := [code for _, code, _ in blocks(text)]:
            marks = [pytest.mark.peers] if any(map(PEERS.search, codes)) else []
            yield pytest.param(path, id=str(path.relative_to(ROOT)), marks=marks)


def run_examples(test):
    """Run the lines after >>> and fail with doctest's own report."""
    report = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    runner.run(test, out=report.append, clear_globs=False)
    assert runner.failures == 0, "".join(report)


@pytest.mark.docs
@pytest.mark.parametrize("path", [*page_parameters()])
def test_snippets_run(path, tmp_path, monkeypatch, capsys):
    """The blocks of one page run in order, in one namespace, as a reader would type them.

    A block of text below one is what it prints, but for "...".
    """
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for line, code, output in blocks(path.read_text(encoding="utf-8")):
        capsys.readouterr()
        if code.lstrip().startswith(">>>"):
            parser = doctest.DocTestParser()
            run_examples(parser.get_doctest(code, names, path.name, str(path), line))
        else:
            # The empty lines give errors the line numbers of the page.
            exec(compile("\n" * line + code, str(path), "exec"), names)
            printed = capsys.readouterr().out
            same = output is None or doctest.OutputChecker().check_output(output, printed, FLAGS)
            assert same, f"{path.name}:{line}: it prints\n{printed}"


def examples_in_docstrings():
    """Return one test a docstring with examples.

    Read from the source: doctest's own finder passes over decorated functions.
    """
    for path in sorted((ROOT / "gradtx").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            doc = ast.get_docstring(node)
            if doc and ">>>" in doc:
                name = f"{path.relative_to(ROOT)}::{getattr(node, 'name', '')}"
                line = node.body[0].lineno - 1
                marks = [pytest.mark.peers] if PEERS.search(doc) else []
                yield pytest.param(doc, name, line, id=name, marks=marks)


@pytest.mark.docs
@pytest.mark.parametrize(("doc", "name", "line"), [*examples_in_docstrings()])
def test_docstring_examples(doc, name, line, tmp_path, monkeypatch):
    """Examples see gradtx, jax and jnp; they import the rest themselves."""
    monkeypatch.chdir(tmp_path)
    names = {"gradtx": gradtx, "jax": jax, "jnp": jnp}
    run_examples(doctest.DocTestParser().get_doctest(doc, names, name, name, line))


def test_commands_in_the_pages_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = {
        (path.name, target)
        for path in PAGES
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.M)
    }
    assert commands
    assert {(page, target) for page, target in commands if target not in targets} == set()


def test_public_names_in_the_pages_exist():
    """`gradtx.something` in the prose is a name that can be reached."""
    unknown = []
    for path in PAGES:
        for name in re.findall(r"`gradtx((?:\.[A-Za-z_]\w*)+)", path.read_text(encoding="utf-8")):
            if not reachable(name[1:].split(".")):
                unknown.append(f"{path.name}: gradtx{name}")
    assert unknown == []


def reachable(parts):
    """Say whether gradtx.a.b can be had, by attribute or by import."""
    thing, dotted = gradtx, "gradtx"
    for part in parts:
        dotted += f".{part}"
        if not hasattr(thing, part):
            try:
                importlib.import_module(dotted)
            except ModuleNotFoundError as error:
                # A module that lacks its partner exists.
                return error.name is not None and not error.name.startswith("gradtx")
        thing = getattr(thing, part)
    return True


def test_every_public_package_has_a_page():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = api.pages()
    assert set(re.findall(r"api/(\w+)\.md", nav)) == set(pages)
    listed = [name for text in pages.values() for name in re.findall(r"^::: (\S+)", text, re.M)]
    assert len(listed) == len(set(listed))
    assert {f"gradtx.{name}" for name in api.exports(gradtx)} <= set(listed)
