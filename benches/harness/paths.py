"""Where things are."""

from pathlib import Path

BENCHES = Path(__file__).resolve().parent.parent
REPO = BENCHES.parent
PROJECT = BENCHES / "project"
RIVALS = BENCHES / "rivals"
RESULTS = BENCHES / "results"
VENV = BENCHES / ".venv"
CALLS = BENCHES / "calls"
RAY_VENV = BENCHES / ".venv-ray"
