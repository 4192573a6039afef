"""`import gradtx` is quick: what a program does not use is not imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import gradtx

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "gradtx").rglob("*.py")
)


def printed(code):
    """Return what a new process prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{code}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_imports_nothing_else():
    code = "import gradtx; print(json.dumps(sorted(m for m in sys.modules if 'gradtx' in m)))"
    assert printed(code) == ["gradtx", "gradtx._lazy"]


def test_an_optimizer_imports_what_it_needs():
    code = """
import gradtx
gradtx.adamw(1e-3)
print(json.dumps([m for m in sys.modules if m.startswith("gradtx.")]))
"""
    loaded = {module.split(".")[1] for module in printed(code)}
    assert loaded == {"_lazy", "_core", "typing", "_parts", "_moments", "_optimizers"}


CALLS = """
calls = 0

def count(frame, event, argument):
    global calls
    calls += event in ("call", "c_call")

sys.setprofile(count)
import jax, jax.numpy
of_jax, calls = calls, 0
import gradtx
gradtx.adamw(1e-3)
sys.setprofile(None)
print(json.dumps(calls / of_jax))
"""


def test_import_adds_little_to_that_of_jax():
    """Calls are counted, not seconds: they are 3 %, and 6 % where no bytecode is kept."""
    assert printed(CALLS) <= 0.1


def test_config_finds_constructors_that_were_not_imported():
    config = json.dumps(gradtx.chain(gradtx.clip(1.0), gradtx.prodigy()).to_config())
    code = f"""
import gradtx
print(json.dumps(repr(gradtx.from_config(json.loads({config!r})))))
"""
    assert printed(code) == "chain(clip(max_delta=1.0), prodigy())"


# What a module computes when it is imported in the middle of a trace would belong to the trace.
IN_A_TRACE = """
import jax
from gradtx import _lazy
jax.make_jaxpr(lambda x: (_lazy.load_all(), x)[1])(1.0)
print(json.dumps([
    f"{module}.{name}"
    for module, loaded in sys.modules.items() if module.startswith("gradtx")
    for name, value in vars(loaded).items() if isinstance(value, jax.Array)
]))
"""


def test_import_computes_nothing():
    assert printed(IN_A_TRACE) == []


def test_names():
    star = {}
    exec("from gradtx import *", star)
    assert {"adamw", "sharding", "ScaleByAdamState", "state"} <= set(star)
    assert set(star) - {"__builtins__"} == set(gradtx.__all__) <= set(dir(gradtx))
    assert star["clip"] is gradtx.clip
    assert gradtx.__all__.count("clip") == 1


FIRST = """
import importlib, jax
for name in MODULES:
    for module in [m for m in sys.modules if m.split(".")[0] == "gradtx"]:
        del sys.modules[module]
    importlib.import_module(name)
print(json.dumps("each"))
"""


@pytest.mark.slow
def test_every_module_can_be_the_first():
    """What is imported on request must not rest on what was imported before."""
    own = [m for m in MODULES if m.split(".")[1:2] not in (["plot"], ["testing"])]
    assert printed(f"MODULES = {own!r}\n{FIRST}") == "each"
