"""Tests of examples/many_processes.py: real processes, one killed, and none left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

SCRIPT = Path(__file__).parents[2] / "examples" / "many_processes.py"
COMMAND = [sys.executable, "-W", "error", str(SCRIPT), "--quick"]
SECONDS = 180


@pytest.fixture(scope="module")
def script():
    """The script as a module, with its parts in reach."""
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import many_processes

        yield many_processes
    finally:
        sys.path.remove(str(SCRIPT.parent))


@pytest.mark.slow
def test_goes_on_with_fewer_processes(tmp_path):
    run = subprocess.run(
        COMMAND, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "lost no step" in run.stdout
    # Each way was killed once and went on from a checkpoint, with fewer processes.
    assert len(re.findall(r"process \d +step +\d+  KILLED", run.stdout)) == 2
    assert re.search(r"resumed on 2 processes, mesh data 2 x model 2", run.stdout)
    assert re.search(r"resumed on 1 process, mesh replica 1 x model 2", run.stdout)
    # It sees JAX only through its processes, and their noise stays in their logs.
    assert "Gloo" not in run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_leaves_no_process_behind(tmp_path, how):
    # A variable of the environment marks the processes, which inherit it.
    marked = os.environ | {"MANY_PROCESSES_TEST": str(tmp_path), "TMPDIR": str(tmp_path)}
    launcher = subprocess.Popen(
        COMMAND,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=marked,
        text=True,
    )
    with launcher:
        for line in launcher.stdout or ():
            if "began" in line:
                break
        assert len(alive(tmp_path)) == 3  # with the launcher
        launcher.send_signal(how)
    assert launcher.returncode != 0
    deadline = time.monotonic() + 30
    while left := alive(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.slow
def test_runs_that_differ_are_told_apart(script):
    stages = (script.Stage(2, 0, at=1), script.Stage(1))
    whole = script.Outcome(None, stages[1:], {1: 0.5, 2: 0.25}, 0.9, [])
    same = script.Outcome(None, stages, {1: 0.5, 2: 0.25 + 1e-6}, 0.9, [1])
    assert script.compare(whole, same) == pytest.approx(1e-6)
    for wrong, message in (
        ({"losses": {2: 0.25}}, "steps are missing"),
        ({"losses": {1: 0.5, 2: 0.3}}, "losses differ"),
        ({"accuracy": 0.8}, "accuracies differ"),
        ({"resumed": []}, "did not resume"),
    ):
        with pytest.raises(AssertionError, match=message):
            script.compare(whole, same._replace(**wrong))


@pytest.mark.slow
def test_fingerprint_sees_one_bit_and_no_sharding(script):
    from processes_parts.checkpoints import fingerprint

    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))
    w = jax.random.normal(jax.random.key(0), (8, 16))
    want = fingerprint({"w": w, "count": jnp.int32(3)})
    for spec in (PartitionSpec("data", "model"), PartitionSpec(None, ("model", "data"))):
        split = jax.device_put(w, NamedSharding(mesh, spec))
        assert fingerprint({"w": split, "count": jnp.int32(3)}) == want
    bits = jax.lax.bitcast_convert_type(w, jnp.uint32).at[3, 5].add(jnp.uint32(1))
    nearly = jax.lax.bitcast_convert_type(bits, jnp.float32)
    swapped = w.at[0].set(w[1]).at[1].set(w[0])
    for changed in (nearly, swapped):
        found = fingerprint({"w": changed, "count": jnp.int32(3)})
        assert found["['w']"] != want["['w']"] and found["['count']"] == want["['count']"]


def alive(mark):
    """Return the numbers of the running processes that carry the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue  # it is not ours, or has just ended
        if f"MANY_PROCESSES_TEST={mark}".encode() in environment.split(b"\0"):
            found.append(folder.name)
    return found
