"""What /proc tells: the machine, the CPU time and the memory of processes."""

import os
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine


def cores() -> int:
    return os.cpu_count() or 1


def busy_seconds() -> float:
    """CPU seconds this machine was not idle since it started, those a hypervisor gave to others included."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def memory_kb(pid: int, key: str) -> int:
    """VmRSS or VmHWM of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise ProcessLookupError(f"process {pid} has no {key}")


def cpu_seconds(roots: list[int]) -> tuple[float, float]:
    """CPU seconds of these processes alone, and of them with all their descendants."""
    table = _processes()
    own = sum(seconds for pid, (_, seconds) in table.items() if pid in roots)
    return own, sum(table[pid][1] for pid in _descendants(table, roots))


def with_environment(mark: str) -> list[int]:
    """The processes whose environment holds this NAME=value."""
    return [pid for pid in _pids() if mark.encode() in _read(pid, "environ").split(b"\0")]


def _descendants(table: dict[int, tuple[int, float]], roots: list[int]) -> set[int]:
    found: set[int] = set()
    layer = {pid for pid in roots if pid in table}
    while layer:
        found |= layer
        layer = {pid for pid, (parent, _) in table.items() if parent in layer} - found
    return found


def _processes() -> dict[int, tuple[int, float]]:
    """pid → (parent, CPU seconds)."""
    table = {}
    for pid in _pids():
        # The command may hold spaces and parentheses; the fields after the last one do not.
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        if fields:
            table[pid] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND)
    return table


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    """Empty when the process has just ended or belongs to someone else."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
