"""One measurement: wrk against one target."""

import json
import resource
import subprocess
import time
from dataclasses import dataclass

from . import machine
from .errors import BenchError
from .paths import BENCHES

# Longer than any answer of a healthy run; wrk's own default (2 s) would count a slow answer as a timeout.
ANSWER_TIMEOUT_S = 20
# A server may still work on requests whose connection wrk has just closed; the next measurement must not pay for them.
SETTLE_S = 0.5


@dataclass(frozen=True)
class Target:
    """One row of a table: a server doing one thing."""

    case: str
    server: str
    url: str
    answer: object
    roots: list[int]
    # Its CPU time is that of these processes alone: what they pass requests on to runs below them.
    alone: bool = False


@dataclass(frozen=True)
class Sample:
    """What one measurement gave; CPU is that of the server, `other` the share of the machine that others used."""

    rate: float
    p50_us: float
    p99_us: float
    errors: int
    cpu_us: float
    other: float


def measure(wrk: str, target: Target, connections: int, seconds: int) -> Sample:
    _wrk(wrk, target, connections, 1)
    before = _clocks(target)
    result = _wrk(wrk, target, connections, seconds)
    tree, wrk_cpu, busy, wall = (b - a for a, b in zip(before, _clocks(target), strict=True))
    time.sleep(SETTLE_S)
    requests = result["requests"]
    if requests == 0:
        raise BenchError(f"{target.server} answered nothing in {seconds} s at {connections} connections: {target.url}")
    return Sample(
        rate=requests / (result["duration_us"] / 1e6),
        p50_us=result["p50_us"],
        p99_us=result["p99_us"],
        errors=result["errors"],
        cpu_us=tree / requests * 1e6,
        other=max(0.0, busy - tree - wrk_cpu) / (wall * machine.cores()),
    )


def _clocks(target: Target) -> tuple[float, float, float, float]:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    wrk_cpu = children.ru_utime + children.ru_stime
    own, tree = machine.cpu_seconds(target.roots)
    return (own if target.alone else tree, wrk_cpu, machine.busy_seconds(), time.monotonic())


def _wrk(wrk: str, target: Target, connections: int, seconds: int) -> dict[str, int]:
    argv = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={ANSWER_TIMEOUT_S}s"]
    argv += ["-s", str(BENCHES / "post.lua"), target.url]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=seconds + 2 * ANSWER_TIMEOUT_S)
    if done.returncode != 0:
        raise BenchError(f"wrk failed against {target.server}: {' '.join(argv)}\n{done.stdout}{done.stderr}")
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return result
