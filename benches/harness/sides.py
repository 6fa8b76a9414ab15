"""The two sides of `benches/costs`: msx and Ray Serve. Each runs a caller and says how many seconds it took."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from . import machine, servers
from .calls import Row
from .errors import BenchError
from .paths import CALLS, RAY_VENV, RIVALS

ANSWER_S = 60
RAY_START_S = 300
RAY_STOP_S = 20
CALLERS = ("drivers.",)


class Failed(Exception):
    """A caller that did not answer; the others may."""


class MsxSide:
    """A hub with the services of benches/calls, or with a copy of them that is replayed at every wait."""

    name = "msx"
    broken = ""

    def __init__(self, binary: Path, venv: Path, *, replayed: bool = False) -> None:
        self._binary = binary
        self._venv = venv
        self._replayed = replayed
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "MsxSide":
        print(f"starting msx{', replayed' if self._replayed else ''} …", file=sys.stderr, flush=True)
        # A copy: two hubs cannot run in one folder.
        self._folder = tempfile.TemporaryDirectory(prefix="msx-bench-")
        project = Path(self._folder.name).resolve() / "calls"
        shutil.copytree(CALLS, project, ignore=shutil.ignore_patterns(".msx", "__pycache__"))
        env = {"MSX_REPLAY": "always"} if self._replayed else {}
        self._hub = servers.Msx(self._binary, project, {"VIRTUAL_ENV": str(self._venv), **env})
        try:
            self._hub.__enter__()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._hub.__exit__()
        finally:
            if self._folder:
                self._folder.cleanup()

    def seconds(self, row: Row, kind: str, times: int) -> float:
        if row.how == "crowd":
            call = ["crowd", row.what, kind, str(times)]
        else:
            call = ["drive" if kind == "def" else "adrive", row.how, row.what, str(times), str(row.x)]
        argv = self._hub.verb("call", *call, "--json", "--timeout", f"{ANSWER_S}s")
        try:
            done = subprocess.run(argv, timeout=ANSWER_S + 10, check=False, capture_output=True, text=True)
        except subprocess.TimeoutExpired:
            raise Failed(f"`msx call` did not end within {ANSWER_S + 10} s") from None
        if done.returncode != 0:
            raise Failed((done.stderr or done.stdout).strip()[:300])
        return float(json.loads(done.stdout))

    def cpu(self) -> dict[str, float]:
        """CPU seconds of the hub, of the callers' instances, and of those that are called."""
        services = self._hub.ps()["services"]
        pids: dict[str, list[int]] = {"hub": [self._hub.pid], "callers": [], "called": []}
        for service in services:
            role = "callers" if service["name"].startswith(CALLERS) else "called"
            pids[role] += [i["pid"] for i in service["instances"] if i["pid"]]
        return {role: machine.cpu_seconds(found)[0] for role, found in pids.items()}

    def restart(self) -> None:
        """A call that timed out is cancelled with its children; the hub goes on."""


class RaySide:
    """Ray Serve with the same services, in processes of its own."""

    name = "Ray Serve"

    def __init__(self) -> None:
        self._mark = f"BENCH_RAY={os.getpid()}"
        self.broken = ""  # why there is nothing to measure; msx is measured all the same
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "RaySide":
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
        try:
            self._start()
        except BenchError as error:
            self.broken = str(error)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._stop()
        finally:
            self._folder.cleanup()

    def seconds(self, row: Row, kind: str, times: int) -> float:
        x = row.smaller.get("x", row.x)
        case = {"kind": kind, "how": row.how, "what": row.what, "times": times, "x": x}
        assert self._process and self._process.stdin
        try:
            self._process.stdin.write(json.dumps(case) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Failed(f"its process is gone: {error}") from None
        answer = self._answer(ANSWER_S + 10)
        if "seconds" not in answer:
            raise Failed(str(answer.get("error", answer)))
        return float(answer["seconds"])

    def cpu(self) -> dict[str, float]:
        return {"all": machine.cpu_seconds(machine.with_environment(self._mark))[0]}

    def restart(self) -> None:
        """Ray goes on with what nobody waits for; the next row must not pay for it."""
        self._stop()
        try:
            self._start()
        except BenchError as error:
            self.broken = str(error)

    def _start(self) -> None:
        print("starting Ray Serve, which takes a minute or more …", file=sys.stderr, flush=True)
        name, _, value = self._mark.partition("=")
        more = {
            name: value,
            "BENCH_ANSWER_S": str(ANSWER_S),
            "BENCH_RAY_DIR": self._folder.name,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._log = open(Path(self._folder.name) / "bench.log", "w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(RAY_VENV / "bin/python"), str(RIVALS / "ray_calls.py")],
            env=servers.environment(more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        try:
            answer = self._answer(RAY_START_S)
        except Failed as error:
            raise BenchError(f"Ray Serve did not start: {error}") from None
        if "ready" not in answer:
            raise BenchError(f"Ray Serve did not start: {answer}")

    def _answer(self, seconds: float) -> dict[str, object]:
        assert self._process and self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else None
        if line is None:
            raise Failed(f"no answer within {seconds:.0f} s")
        if not line:
            raise Failed(f"its process ended:\n{self._tail()}")
        found: dict[str, object] = json.loads(line)
        return found

    def _tail(self) -> str:
        self._log.seek(0)
        return "\n".join(self._log.read().splitlines()[-10:])

    def _stop(self) -> None:
        """Ray's own end first; then whatever is left of it, found by its environment."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(RAY_STOP_S)
        deadline = time.monotonic() + RAY_STOP_S
        while left := machine.with_environment(self._mark):
            if time.monotonic() > deadline:
                raise BenchError(f"Ray left processes that cannot be ended: {left}")
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            with suppress(OSError):
                pipe.close()
        self._process = None
