"""What type checkers infer, and that the SDK itself is clean. Skipped where the tools are not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command):
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_inferred_types(tmp_path):
    pytest.importorskip("mypy")
    run("mypy", "--strict", "--cache-dir", str(tmp_path), "src", "tests/typed.py")


def test_style():
    pytest.importorskip("ruff")
    run("ruff", "check", "--no-cache", "src", "tests")
