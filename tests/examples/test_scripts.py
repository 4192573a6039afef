"""The short scripts run on a small problem and print what they promise."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PROMISED = {
    "compose_adam": "is, part by part,",
    "conditioning": "(kappa - 1) / (kappa + 1)",
    "growing_batch": "16 to 128",
    "gradient_norm": "clipped to norm 1",
    "initialisation": "He normal",
    "many_devices": "the plan is what the compiled programs send",
    "own_rule": "no argument is called `beta`",
}
ELSEWHERE = {"demo", "gpt", "many_processes"}  # have test files of their own


def test_every_script_is_listed():
    assert {p.stem for p in EXAMPLES.glob("*.py")} == set(PROMISED) | ELSEWHERE


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PROMISED))
def test_script_runs(name, tmp_path):
    command = [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", "--quick"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert PROMISED[name] in run.stdout
