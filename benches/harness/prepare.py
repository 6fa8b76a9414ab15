"""What must exist before anything is measured: wrk, the rivals' environment, the msx binary."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from .errors import BenchError
from .paths import BENCHES, RAY_VENV, REPO, VENV

REQUIREMENTS = BENCHES / "requirements.txt"
RAY_REQUIREMENTS = BENCHES / "requirements-ray.txt"


def wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise BenchError(
            "the load generator wrk is not installed; install it: "
            "`apt-get install wrk` (Debian, Ubuntu), `dnf install wrk` (Fedora), or https://github.com/wg/wrk"
        )
    return found


def environment(venv: Path = VENV, requirements: Path = REQUIREMENTS) -> Path:
    """Makes benches/.venv, once per set of requirements and interpreter, and returns it."""
    if sys.version_info < (3, 10):
        raise BenchError(f"this is Python {sys.version.split()[0]}; run it with Python 3.10 or newer")
    wanted = hashlib.sha256(f"{sys.version}{requirements.read_text()}".encode()).hexdigest()
    mark = venv / "made-for"
    if mark.exists() and mark.read_text() == wanted:
        return venv
    shutil.rmtree(venv, ignore_errors=True)
    _step(f"making benches/{venv.name}", [sys.executable, "-m", "venv", str(venv)])
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _step("installing the rivals", [*pip, "--requirement", str(requirements)])
    mark.write_text(wanted)
    return venv


def ray() -> Path:
    return environment(RAY_VENV, RAY_REQUIREMENTS)


def msx() -> Path:
    """Builds always: cargo does nothing when the binary is fresh, and a stale one would be measured unnoticed."""
    if shutil.which("cargo") is None:
        raise BenchError("cargo is not installed; install Rust (https://rustup.rs), or name a binary: --msx PATH")
    _step("building target/release/msx", ["cargo", "build", "--release", "--quiet", "--target-dir", "target"])
    return REPO / "target/release/msx"


def _step(what: str, argv: list[str]) -> None:
    print(f"{what} …", file=sys.stderr)
    done = subprocess.run(argv, cwd=REPO, check=False, stdout=sys.stderr)
    if done.returncode != 0:
        raise BenchError(f"{what} failed with status {done.returncode}: {' '.join(argv)}")
