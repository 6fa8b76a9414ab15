"""The table of `benches/costs`: measured in turn, printed as a page."""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from . import machine, report
from .calls import KINDS, Row
from .sides import Failed, MsxSide, RaySide

# A measurement is sized by trials, the last of which takes at least this part of it.
TRIAL_SHARE = 0.1
GROWTH = 10

Side = MsxSide | RaySide


@dataclass(frozen=True)
class Sample:
    """`cpu_us`: per call, by role. `other`: the share of the machine that other programs used."""

    us: float
    calls: int
    cpu_us: dict[str, float]
    other: float


class Cell:
    """One row on one side, of one kind."""

    def __init__(self, row: Row, side: Side, kind: str, seconds: float) -> None:
        self.row, self.side, self.kind = row, side, kind
        self.samples: list[Sample] = []
        self.failure = ""
        self._seconds = seconds
        self._times = 0
        smaller = row.smaller if isinstance(side, RaySide) else {}
        self._calls = smaller.get("calls", row.calls)

    def measure(self) -> None:
        self._times = self._times or self._sized()
        cpu, busy, began = self.side.cpu(), machine.busy_seconds(), time.monotonic()
        seconds = self.side.seconds(self.row, self.kind, self._times)
        wall, busy = time.monotonic() - began, machine.busy_seconds() - busy
        after = self.side.cpu()
        calls = self._times * self._calls
        used = {role: after[role] - before for role, before in cpu.items()}
        other = max(0.0, busy - sum(used.values())) / (wall * machine.cores())
        per_call = {role: spent / calls * 1e6 for role, spent in used.items()}
        self.samples.append(Sample(seconds / calls * 1e6, calls, per_call, other))

    def us(self) -> float:
        return median(sample.us for sample in self.samples)

    def _sized(self) -> int:
        """How many make a measurement as long as wanted; also warms up."""
        times, row = self.row.step, self.row
        while True:
            seconds = max(self.side.seconds(row, self.kind, times), 1e-6)
            enough = seconds >= self._seconds * TRIAL_SHARE
            factor = self._seconds / seconds if enough else min(GROWTH, self._seconds * 2 * TRIAL_SHARE / seconds)
            wanted = max(1, round(times * factor / row.step)) * row.step
            if enough or times >= row.most or wanted <= times:
                return min(wanted, row.most)
            times = min(wanted, row.most)


class Table:
    def __init__(self, rows: list[Row], msx: MsxSide, replayed: MsxSide | None, ray: RaySide | None, seconds: float):
        self.rows = rows
        self.cells: dict[tuple[int, str, str], Cell] = {}
        for index, row in enumerate(rows):
            sides: list[Side] = [replayed if row.replayed and replayed else msx]
            if ray and not row.replayed:
                sides.append(ray)
            for side in sides:
                for kind in row.kinds:
                    self.cells[index, side.name, kind] = Cell(row, side, kind, seconds)

    def measure(self, where: str) -> None:
        """msx and Ray Serve in turn: what disturbs the machine for a while disturbs both."""
        for cell in self.cells.values():
            cell.failure = cell.failure or cell.side.broken
            if not cell.failure:
                said = self._measure(cell)
                print(f"{where}  {cell.row.name}, {cell.side.name} {cell.kind}: {said}", file=sys.stderr, flush=True)

    def _measure(self, cell: Cell) -> str:
        try:
            cell.measure()
            return f"{cell.samples[-1].us:,.1f} µs/call"
        except (Failed, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            cell.failure = " ".join(str(error).split()) or type(error).__name__
        cell.side.restart()
        return f"failed: {cell.failure}"

    def json(self) -> str:
        cells = [
            {"row": c.row.name, "side": c.side.name, "kind": c.kind, "failure": c.failure, "samples": [asdict(s) for s in c.samples]}
            for c in self.cells.values()
        ]
        return json.dumps(cells, indent=1) + "\n"

    # --- the page ---

    def rates(self) -> str:
        head = ("call", *(f"{side} `{kind}`" for side in ("msx", "Ray Serve") for kind in KINDS), "× Ray", "calls/s", "bounded by")
        lines = []
        for index, row in enumerate(self.rows):
            cells = [self.cells.get((index, side, kind)) for side in ("msx", "Ray Serve") for kind in KINDS]
            ratios = " / ".join(_ratio(ray, msx) for msx, ray in zip(cells[:2], cells[2:], strict=True))
            rates = " / ".join(f"{1e6 / cell.us():,.0f}" if cell and cell.samples else "–" for cell in cells[:2])
            lines.append((row.name, *map(_shown, cells), ratios, rates, row.bound))
        return report.table(head, lines)

    def cpu(self) -> str:
        """Where a call's CPU time goes, per call."""
        head = ("call", "kind", "hub", "callers", "called", "msx together", "Ray Serve together")
        lines = []
        for index, row in enumerate(self.rows):
            for kind in row.kinds:
                msx = self.cells[index, "msx", kind]
                ray = self.cells.get((index, "Ray Serve", kind))
                if msx.samples:
                    parts = [median(sample.cpu_us[role] for sample in msx.samples) for role in ("hub", "callers", "called")]
                    all_of_ray = median(s.cpu_us["all"] for s in ray.samples) if ray and ray.samples else None
                    shown = [*map(_us, parts), _us(sum(parts)), "–" if all_of_ray is None else _us(all_of_ray)]
                    lines.append((row.name, f"`{kind}`", *shown))
        return report.table(head, lines)

    def expected(self) -> str:
        lines = []
        for index, row in enumerate(self.rows):
            for kind in row.kinds:
                msx, ray = self.cells[index, "msx", kind], self.cells.get((index, "Ray Serve", kind))
                if kind in row.rate and msx.samples:
                    lines.append(_verdict(row, kind, "calls/s", 1e6 / msx.us(), row.rate[kind]))
                if row.ray and ray and ray.samples and msx.samples:
                    lines.append(_verdict(row, kind, "× Ray Serve", ray.us() / msx.us(), row.ray))
        return "\n".join(lines)

    def failures(self) -> str:
        failed = [cell for cell in self.cells.values() if cell.failure]
        return "\n".join(f"- failed: {c.row.name}, {c.side.name} `{c.kind}`: {c.failure}" for c in failed)

    def disturbance(self) -> str:
        shares = [sample.other for cell in self.cells.values() for sample in cell.samples]
        if not shares:
            return "Nothing was measured."
        used = f"{median(shares):.0%} of the machine during a measurement (median), {max(shares):.0%} at worst"
        return f"Other programs, the idle side among them, used {used}."


def page(command: str, binary: str, venv: Path, options: argparse.Namespace, table: Table) -> str:
    facts = [
        ("command", f"`{command}`"),
        *report.facts(report.msx_version(binary), venv, ("uvloop",) if options.no_ray else ("ray", "uvloop")),
    ]
    method = (
        f"{options.rounds} round(s), each case in turn for about {options.seconds:g} s after a warm-up. Times are µs per call, the median "
        "of the rounds, and in brackets the least and the most. One instance, or replica, of each service."
    )
    said = [table.rates(), "CPU time of a call:", table.cpu(), table.expected(), table.failures(), table.disturbance()]
    lines = "\n".join(f"- {name}: {value}" for name, value in facts)
    body = [part for part in said if part]
    return "\n\n".join(["# What a call costs", lines, method, *body, "How to read this: `benches/README.md`."]) + "\n"


def _shown(cell: Cell | None) -> str:
    if cell is None or not cell.samples:
        return "failed" if cell and cell.failure else "–"
    each = [sample.us for sample in cell.samples]
    return f"{_us(cell.us())} ({_us(min(each))}–{_us(max(each))})"


def _ratio(ray: Cell | None, msx: Cell | None) -> str:
    return f"{ray.us() / msx.us():.0f}" if ray and msx and ray.samples and msx.samples else "–"


def _verdict(row: Row, kind: str, unit: str, got: float, wanted: float) -> str:
    return f"- {'met' if got >= wanted else 'missed'}: {row.name}, `{kind}`: {got:,.0f} {unit}, expected {wanted:,.0f}"


def _us(us: float) -> str:
    return f"{us:.1f}" if us < 100 else f"{us:,.0f}"
