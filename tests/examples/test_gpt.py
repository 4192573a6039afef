"""Tests of examples/gpt.py: it runs, is killed, and goes on as if nothing had happened."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "gpt.py"


def command(folder, *options):
    return [sys.executable, str(SCRIPT), "--quick", "--out", str(folder), *options]


def run(folder, *options):
    """Run the script to its end, and return what it printed."""
    done = subprocess.run(command(folder, *options), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(folder):
    return list(csv.reader((folder / "metrics.csv").read_text().splitlines()))


@pytest.mark.slow
def test_it_goes_on_after_a_kill_as_if_nothing_had_happened(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    said = run(whole)
    assert "matrices" in said and "what it writes" in said
    page = (whole / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(list((whole / "figures").iterdir())) == 4
    assert "warmup_stable_decay_schedule" in page

    begun = subprocess.Popen(command(parts), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = parts / "checkpoints" / "2"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and begun.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(begun.pid, signal.SIGKILL)
    begun.wait()
    assert checkpoint.exists()
    refused = subprocess.run(command(parts), capture_output=True, text=True, check=False)
    assert refused.returncode and "--resume" in refused.stderr
    assert "Going on after step" in run(parts, "--resume")

    assert len(rows(whole)) > 6
    assert rows(parts) == rows(whole)  # every number, as it is written
