"""What every test runs under: strict promotion, warnings as errors, eight devices, fixed seeds."""

import importlib.util
import os
import random
from pathlib import Path

# Both are read when JAX is first imported.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is most of what these tests do, and code that runs for microseconds need not be good:
# LLVM does not optimise it, and XLA's older and quicker emitters write it. Flags that are given
# stay as they are: `make test-slow` asks for optimised code, `make test-peers` and `make docs` for
# all that users get.
given = os.environ.get("XLA_FLAGS", "").split()
flags = {
    "--xla_force_host_platform_device_count": "8",
    "--xla_backend_optimization_level": "0",
    "--xla_cpu_use_fusion_emitters": "false",
    "--xla_cpu_parallel_codegen_split_count": "1",
} | dict(flag.partition("=")[::2] for flag in given)
os.environ["XLA_FLAGS"] = " ".join(f"{k}={v}" if v else k for k, v in flags.items())
# No window opens in a test that draws.
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import jax
import numpy as np
import pytest

PEERS = ("torch", "optax", "flax", "equinox", "haiku")
PEER_TESTS = Path(__file__).parent / "peers"

jax.config.update("jax_numpy_dtype_promotion", "strict")

# What a test compiles by `.lower(...).compile()` it wants to look at: how much memory it takes,
# what is fused. That is always the code that users get.
AS_USERS = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True}
_compile = jax.stages.Lowered.compile


def _compile_as_for_users(lowered, compiler_options=None, **more):
    return _compile(lowered, AS_USERS | (compiler_options or {}), **more)


jax.stages.Lowered.compile = _compile_as_for_users

# Compiling takes longer than any deadline, and each example may compile.
hypothesis.settings.register_profile("default", deadline=None, max_examples=20)
hypothesis.settings.register_profile(
    "ci", deadline=None, max_examples=20, derandomize=True, print_blob=True
)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def _missing_peers():
    return [name for name in PEERS if importlib.util.find_spec(name) is None]


def pytest_report_header():
    """Say which comparisons cannot run, and on what the tests run."""
    lines = [f"jax {jax.__version__}: {jax.device_count()} {jax.default_backend()} devices"]
    if missing := _missing_peers():
        lines.append(f"tests/peers is left out: {', '.join(missing)} not installed")
    return lines


def pytest_ignore_collect(collection_path):
    """Leave tests/peers alone where a peer is not installed: its modules import them."""
    if collection_path.is_relative_to(PEER_TESTS) and _missing_peers():
        return True
    return None


def pytest_collection_modifyitems(items):
    """Mark everything under tests/peers, so that no file can forget to."""
    for item in items:
        if item.path.is_relative_to(PEER_TESTS):
            item.add_marker("peers")


@pytest.fixture(autouse=True)
def _fixed_seeds():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (for libraries that draw from the global generator)


@pytest.fixture
def rng():
    """Return a NumPy generator that is the same in every test."""
    return np.random.default_rng(0)


@pytest.fixture
def key():
    """Return a JAX key that is the same in every test."""
    return jax.random.key(0)


@pytest.fixture
def x64():
    """Run the test with 64-bit types."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def mesh():
    """Return a 2 x 4 mesh of the eight devices, with axes `data` and `model`."""
    return jax.make_mesh((2, 4), ("data", "model"))


def pytest_make_parametrize_id(config, val, argname):
    """Name a case without addresses, which would differ between the workers of one run."""
    del config, argname
    if hasattr(val, "init") and hasattr(val, "update"):
        return " ".join(repr(val).split())
    if callable(val) and hasattr(val, "__name__"):
        return val.__name__
    return str(val) if isinstance(val, Path) else None
