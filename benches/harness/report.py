"""Medians, tables and the results page."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from statistics import median

from . import machine
from .load import Sample, Target
from .paths import BENCHES, REPO, VENV

RIVALS = ("Flask", "Werkzeug", "gunicorn", "requests", "starlette", "uvicorn", "uvloop", "httptools")


@dataclass(frozen=True)
class Row:
    """One target at one number of connections, with a sample of each round."""

    target: Target
    connections: int
    samples: list[Sample]

    def median(self, field: str) -> float:
        return median(float(getattr(sample, field)) for sample in self.samples)

    @property
    def errors(self) -> int:
        return sum(sample.errors for sample in self.samples)

    @property
    def spread(self) -> str:
        rates = [sample.rate for sample in self.samples]
        return f"{min(rates):,.0f}–{max(rates):,.0f}"


def comparison(rows: list[Row]) -> str:
    """Each row beside the first Flask row of its case and connections."""
    baseline: dict[tuple[str, int], float] = {}
    for row in rows:
        if row.target.server.startswith("Flask"):
            baseline.setdefault((row.target.case, row.connections), row.median("rate"))
    head = ("case", "connections", "server", "requests/s", "× Flask", "p50", "p99", "CPU/request", "rounds", "errors")
    lines = []
    for row in rows:
        flask = baseline.get((row.target.case, row.connections))
        ratio = f"{row.median('rate') / flask:.1f}" if flask else "–"
        what = (row.target.case, row.connections, row.target.server)
        lines.append((*what, f"{row.median('rate'):,.0f}", ratio, *_tail(row)))
    return table(head, lines)


def proxies(rows: list[Row]) -> str:
    """What it costs to pass a request on."""
    head = ("connections", "proxy", "requests/s", "p50", "p99", "CPU/request", "rounds", "errors")
    lines = [(row.connections, row.target.server, f"{row.median('rate'):,.0f}", *_tail(row)) for row in rows]
    return table(head, lines)


def _tail(row: Row) -> tuple[str, str, str, str, int]:
    p50, p99 = _time(row.median("p50_us")), _time(row.median("p99_us"))
    return p50, p99, _time(row.median("cpu_us")), row.spread, row.errors


def memory(before_kb: int, after_kb: int, peak_kb: int) -> str:
    before, after, peak = (f"{kb / 1024:.1f} MB" for kb in (before_kb, after_kb, peak_kb))
    return f"Memory of the msx hub (RSS): {before} before the load, {after} after it, {peak} at its highest."


def disturbance(rows: list[Row]) -> str:
    shares = [sample.other for row in rows for sample in row.samples]
    used = f"{median(shares):.0%} of the machine during a measurement (median), {max(shares):.0%} at worst"
    return f"Other programs used {used}."


def page(command: str, method: str, msx: str, body: list[str]) -> str:
    listed = [
        ("command", f"`{command}`"),
        *facts(msx, VENV, RIVALS),
        ("load", _load()),
    ]
    lines = "\n".join(f"- {name}: {value}" for name, value in listed)
    return "\n\n".join(["# Measured", lines, method, *body, "How to read this: `benches/README.md`."]) + "\n"


def page_of_proxies(command: str, method: str, msx: str, rivals: Sequence[str], body: list[str]) -> str:
    listed = [("command", f"`{command}`"), *_place(msx), ("rivals", ", ".join(rivals)), ("load", _load())]
    lines = "\n".join(f"- {name}: {value}" for name, value in listed)
    return "\n\n".join(["# Measured: the front of a program", lines, method, *body]) + "\n"


def _load() -> str:
    return f"{_output('wrk', '--version').split(' [')[0]}, one thread, on the same cores as the servers"


def _place(msx: str) -> list[tuple[str, str]]:
    return [
        ("date", f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"),
        ("machine", f"{machine.cpu_model()}, {machine.cores()} cores, Linux {os.uname().release}"),
        ("msx", msx),
    ]


def facts(msx: str, venv: Path, rivals: Sequence[str]) -> list[tuple[str, str]]:
    """When, where and with what it was measured."""
    packages = {d.metadata["Name"].lower(): d.version for d in metadata.distributions(path=[_site_packages(venv)])}
    python = _output(str(venv / "bin/python"), "--version")
    return [
        *_place(msx),
        ("rivals", ", ".join(f"{name} {packages[name.lower()]}" for name in rivals)),
        ("Python", f"{python.removeprefix('Python ')}, the same for all"),
    ]


def msx_version(binary: str) -> str:
    commit = _output("git", "-C", str(REPO), "describe", "--always", "--dirty")
    return f"{_output(binary, 'version')} ({commit})"


def _site_packages(venv: Path) -> str:
    return str(next((venv / "lib").glob("python*/site-packages")))


def version(*argv: str) -> str:
    return _output(*argv)


def _output(*argv: str) -> str:
    """The first line; wrk prints its version and exits 1."""
    done = subprocess.run(argv, cwd=BENCHES, check=False, capture_output=True, text=True)
    return (done.stdout or done.stderr).partition("\n")[0].strip()


def _time(us: float) -> str:
    return f"{us:.0f} µs" if us < 1000 else f"{us / 1000:.2f} ms" if us < 10_000 else f"{us / 1000:.0f} ms"


def table(head: tuple[str, ...], lines: Sequence[tuple[object, ...]]) -> str:
    rule = "|".join("---" for _ in head)
    body = [" | ".join(map(str, line)) for line in lines]
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {line} |" for line in body)])
