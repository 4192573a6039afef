"""Tests of gradtx/plot/__init__.py."""

import subprocess
import sys


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_matplotlib_the_error_names_the_extra():
    done = python("import sys; sys.modules['matplotlib'] = None; import gradtx.plot")
    assert "ImportError: `gradtx.plot` needs matplotlib" in done.stderr
    assert "pip install 'gradtx[plot]'" in done.stderr


def test_pyplot_is_not_imported():
    """It would choose a window system, and keep every figure alive."""
    done = python("import sys, gradtx.plot; print('matplotlib.pyplot' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr
