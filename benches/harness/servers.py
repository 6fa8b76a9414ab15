"""The servers that are measured. Each is a context manager: when it is left, its processes are gone."""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import machine
from .errors import BenchError
from .load import Target
from .paths import PROJECT, RIVALS, VENV

START_S = 30
STOP_S = 10
# The first `up` of a machine also fetches what msx needs.
UP_S = 300

# Threads of each Flask service of the chain: as many as an instance of msx has, and as many as are best for it. A
# link's thread waits while the next link works, so two leave the processor idle; of 2, 4, 8, 16, 32 and 64 these were
# the fastest at 64 connections (README.md). The links are separate pools in a line without a cycle, so no number of
# threads can deadlock.
FEW_THREADS = 2
MANY_THREADS = 16


def _gunicorn(app: str, port: int, threads: int) -> list[str]:
    # The control socket is off because it lives in the home directory; it takes no part in serving.
    argv = [str(VENV / "bin/gunicorn"), "--worker-class", "gthread", "--workers", "1", "--threads", str(threads)]
    return [*argv, "--bind", f"127.0.0.1:{port}", "--no-control-socket", app]


@contextmanager
def flask_noop() -> Iterator[list[Target]]:
    port = _free_port()
    url = f"http://127.0.0.1:{port}/noop"
    with _running(_gunicorn("flask_noop:app", port, threads=2), url, 1) as pid:
        yield [Target("no-op", "Flask, gunicorn gthread 1 × 2", url, 1, [pid])]


@contextmanager
def starlette_noop() -> Iterator[list[Target]]:
    port = _free_port()
    url = f"http://127.0.0.1:{port}/noop"
    # The access log is off: none of the others writes one.
    argv = [str(VENV / "bin/uvicorn"), "starlette_noop:app", "--port", str(port), "--workers", "1", "--no-access-log"]
    with _running(argv, url, 1) as pid:
        yield [Target("no-op", "Starlette, uvicorn 1 worker", url, 1, [pid])]


@contextmanager
def flask_chain(*, session: bool, threads: int) -> Iterator[list[Target]]:
    url = ""
    pids = []
    with ExitStack() as stack:
        for answer in (1, 2, 3):
            port = _free_port()
            env = {"NEXT_URL": url, "SESSION": "1" if session else "0"}
            url = f"http://127.0.0.1:{port}/link"
            argv = _gunicorn("flask_chain:app", port, threads)
            pids.append(stack.enter_context(_running(argv, url, answer, env)))
        client = "requests.Session per thread" if session else "requests.post"
        yield [Target("chain of three", f"Flask × 3, 1 × {threads}, {client}", url, 3, pids)]


class Msx:
    """The hub of a project, with all its services."""

    def __init__(self, binary: Path, project: Path = PROJECT, env: dict[str, str] | None = None) -> None:
        self._binary = binary
        self._project = project
        # The rivals' interpreter and uvloop, so that msx runs its functions on the same ones.
        self._env = {"VIRTUAL_ENV": str(VENV)} | (env or {})
        self._mark = f"MSX_PROJECT={project}"

    def __enter__(self) -> "Msx":
        if machine.with_environment(self._mark):
            raise BenchError(f"msx runs in {self._project} already; stop it: {' '.join(self.verb('down'))}")
        try:
            self._up()
            self.pid: int = json.loads((self._project / ".msx/hub.json").read_text())["pid"]
        except BaseException:
            self._down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._down()

    def target(self, case: str, service: str, answer: object, server: str = "msx, 1 instance") -> Target:
        url = f"{self.ps()['hub']['gateway']}call/{service}"
        _await(url, answer, lambda: None)
        return Target(case, server, url, answer, [self.pid])

    def ps(self) -> dict[str, Any]:
        done = subprocess.run(self.verb("ps", "--json"), timeout=START_S, check=True, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def _up(self) -> None:
        env = environment(self._env, proxies=True)
        up = subprocess.run(
            self.verb("up", "-d", "--wait"), env=env, timeout=UP_S, check=False, capture_output=True, text=True
        )
        if up.returncode != 0:
            raise BenchError(f"`msx -C {self._project} up -d --wait` exited {up.returncode}:\n{up.stdout}{up.stderr}")

    def _down(self) -> None:
        """Until nothing is left: an `up` that was interrupted may bring up its hub after the first `down`."""
        deadline = time.monotonic() + START_S
        said = ""
        while time.monotonic() < deadline:
            down = subprocess.run(self.verb("down"), timeout=START_S, check=False, capture_output=True, text=True)
            said = down.stdout + down.stderr
            time.sleep(0.2)
            if not machine.with_environment(self._mark):
                return
        raise BenchError(f"msx left processes {machine.with_environment(self._mark)}; `msx down` said:\n{said}")

    def verb(self, *verb: str) -> list[str]:
        return [str(self._binary), "-C", str(self._project), *verb]


@contextmanager
def _running(argv: list[str], url: str, answer: object, env: dict[str, str] | None = None) -> Iterator[int]:
    """The server's pid while it runs, from its first right answer on; afterwards its whole group is gone."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            argv, cwd=RIVALS, env=environment(env or {}), stdout=log, stderr=log, start_new_session=True
        )

        def fail_if_ended() -> None:
            if process.poll() is not None:
                log.seek(0)
                tail = "\n".join(log.read().splitlines()[-20:])
                raise BenchError(f"{' '.join(argv)} exited {process.returncode}:\n{tail}")

        try:
            _await(url, answer, fail_if_ended)
            yield process.pid
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
    finally:
        # Workers that outlived their master are still in its group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def environment(more: dict[str, str], *, proxies: bool = False) -> dict[str, str]:
    """Ours, without the proxies: `requests` would send the chain's loopback calls to them."""
    kept = {k: v for k, v in os.environ.items() if proxies or not k.lower().endswith("_proxy")}
    return kept | more


def _await(url: str, answer: object, check: Callable[[], None]) -> None:
    """Until the server gives the right answer."""
    deadline = time.monotonic() + START_S
    while True:
        check()
        try:
            got = _ask(url)
            break
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise BenchError(f"{url} did not answer within {START_S} s") from None
            time.sleep(0.05)
    if got != (200, answer):
        raise BenchError(f'{url} answered {got} to {{"x": 1}}, not {(200, answer)}')


def _ask(url: str) -> tuple[int, object]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=START_S)
    try:
        connection.request("POST", parts.path, '{"x": 1}', {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read().decode()
    finally:
        connection.close()
    return response.status, json.loads(body) if response.status == 200 else body


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
