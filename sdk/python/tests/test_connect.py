"""`msx.connect()` against a control socket that this test answers."""

import asyncio
import contextvars
import fcntl
import os
import socket
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

import msx
from fake_hub import RawWorker, error_payload
from msx import _codec, _connect, _hub, microservice, services

PAYLOAD = "application/vnd.msx+msgpack"


@microservice
def mirrored(x):
    return ("here", x)


class ControlSocket:
    """Answers each ask by `answer(service, args)`: status, type and body, or None to hang up."""

    def __init__(self, project):
        self.folder = tempfile.TemporaryDirectory()  # a socket's path has to be short
        self.path = Path(self.folder.name) / "hub.sock"
        self.project = project
        self.asks, self.options, self.accepted = [], [], 0
        self.answer = lambda service, args: (200, PAYLOAD, _codec.encode((service, *args)))
        state = project / ".msx"
        state.mkdir(exist_ok=True)
        self.lock = (state / "lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        (state / "hub.json").write_bytes(msgspec.json.encode({"socket": str(self.path)}))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.streams = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.streams.append(stream)
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        with stream, stream.makefile("rb") as lines:
            while lines.readline() == b"POST /v1/ask HTTP/1.1\r\n":
                head = {}
                while (line := lines.readline()) != b"\r\n":
                    name, _, value = line.decode().partition(":")
                    head[name.lower()] = value.strip()
                body = lines.read(int(head["content-length"]))
                (service, options), arguments = split(body)
                self.asks.append((service, *arguments))
                self.options.append(options)
                answer = self.answer(service, arguments[0])
                if answer is None:
                    return
                status, kind, body = answer
                head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
                with suppress(BrokenPipeError):  # the caller has given up
                    stream.sendall(head.encode() + body)

    def close(self):
        """As after a kill."""
        self.lock.close()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.hang_up()
        self.folder.cleanup()

    def hang_up(self):
        for stream in self.streams:
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def split(body):
    unpacker = msgspec.msgpack.Decoder()
    for at in range(1, len(body)):
        try:
            head = unpacker.decode(body[:at])
        except msgspec.DecodeError:
            continue
        return head, _codec.decode(body[at:])
    raise AssertionError(body)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MSX_HUB", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "script.py"), raising=False)
    hub = ControlSocket(tmp_path.resolve())
    yield hub
    for session in list(_connect._sessions):
        session.close()
    hub.close()


NAME = f"{__name__}.mirrored"


def test_a_with_and_what_is_around_it(hub):
    assert mirrored(1) == ("here", 1)
    with msx.connect() as session:
        assert mirrored(1) == (NAME, 1)
        assert mirrored.start(2).result() == (NAME, 2)
        assert msx.gather(mirrored.start(3), mirrored.start(4)) == [(NAME, 3), (NAME, 4)]
        assert mirrored.local(5) == ("here", 5)
        assert services.some("x") == ("some", "x")
        assert msx.run(mirrored.local, 6) == ("here", 6)
        assert "open" in repr(session)
    assert mirrored(1) == ("here", 1)
    assert hub.asks[0] == (NAME, [1], {})
    assert hub.options == [None] * 5


def test_one_thread_uses_one_connection(hub):
    with msx.connect():
        for n in range(20):
            mirrored(n)
    assert hub.accepted == 1


def test_a_bound_of_calls_under_way(hub, monkeypatch):
    monkeypatch.setattr(_connect, "UNDER_WAY_MAX", 5)
    with msx.connect():
        futures = [mirrored.start(n) for n in range(30)]
        assert hub.accepted <= 6
        assert [future.result() for future in futures] == [(NAME, n) for n in range(30)]

        async def main():
            return await asyncio.gather(*[mirrored.aio(n) for n in range(30)])

        assert asyncio.run(main()) == [(NAME, n) for n in range(30)]
    assert hub.accepted <= 6


def test_calls_that_another_thread_waits_for(hub, monkeypatch):
    monkeypatch.setattr(_connect, "UNDER_WAY_MAX", 5)
    with msx.connect(), ThreadPoolExecutor(1) as other:
        for _ in range(3):
            futures = [mirrored.start(n) for n in range(5)]
            assert list(other.map(msx.Future.result, futures)) == [(NAME, n) for n in range(5)]


def test_threads_and_contexts(hub, tmp_path):
    seen = []

    def in_thread():
        seen.append(mirrored(1))

    def run(target, *args):
        thread = threading.Thread(target=target, args=args)
        thread.start()
        thread.join()

    with msx.connect() as outer:
        with msx.connect(timeout=9):
            run(in_thread)
            run(contextvars.copy_context().run, in_thread)
        mirrored(2)
        assert hub.options == [{"timeout": 9000}, {"timeout": 9000}, None]
        outer.close()
        assert mirrored(3) == ("here", 3)
    assert seen == [(NAME, 1)] * 2


def test_without_with_until_close(hub):
    session = msx.connect()
    assert mirrored(1) == (NAME, 1)
    future = mirrored.start(1)
    session.close()
    assert mirrored(1) == ("here", 1)
    with pytest.raises(msx.UsageError, match="on a connection to the hub of .* that is closed"):
        future.result()


def test_on_a_loop(hub):
    async def main():
        async with msx.connect():
            assert await mirrored.aio(1) == (NAME, 1)
            started = mirrored.start(2)
            assert await msx.gather(mirrored.aio(3), mirrored.start(4)) == [(NAME, 3), (NAME, 4)]
            assert await started == (NAME, 2)
            assert await asyncio.create_task(mirrored.aio(5)) == (NAME, 5)
            with pytest.raises(msx.UsageError, match="use: await mirrored.aio"):
                mirrored(1)
            with pytest.raises(msx.UsageError, match="use: await future"):
                mirrored.start(1).result()
        assert await mirrored.aio(1) == ("here", 1)

    asyncio.run(main())


def test_begun_before_the_loop(hub):
    with msx.connect():
        future = mirrored.start(1)

        async def main():
            return await future

        assert asyncio.run(main()) == (NAME, 1)


@pytest.mark.parametrize("on_loop", [False, True])
def test_what_a_call_raises(hub, on_loop):
    def call():
        return asyncio.run(call_on_loop()) if on_loop else mirrored(1)

    async def call_on_loop():
        return await mirrored.aio(1)

    with msx.connect(timeout=30):
        hub.answer = lambda *_: (500, PAYLOAD, error_payload("builtins.KeyError", "'k'", "a.a"))
        with pytest.raises(KeyError) as raised:
            call()
        assert isinstance(raised.value, msx.RemoteError)
        assert raised.value.service == "a.a"
        problem = {"kind": "unavailable", "message": "the hub is starting", "help": "try again in a moment"}
        hub.answer = lambda *_: (503, "application/json", msgspec.json.encode(problem))
        message = f"^{NAME} cannot be called: the hub is starting; try again in a moment$"
        with pytest.raises(msx.ServiceUnavailable, match=message):
            call()
        hub.answer = lambda *_: (404, "text/plain", b"")
        with pytest.raises(msx.ServiceUnavailable, match="HTTP status 404; it may be of another version"):
            call()
        hub.answer = lambda *_: None
        with pytest.raises(msx.ServiceUnavailable, match="ended before it had answered the call"):
            call()
        hub.answer = lambda *_: (200, PAYLOAD, _codec.encode("again"))
        assert call() == "again"


@pytest.mark.parametrize("on_loop", [False, True])
def test_a_hub_that_hangs(hub, on_loop, monkeypatch):
    monkeypatch.setattr(_connect, "GRACE_SECONDS", 0.05)
    done = threading.Event()

    def answer(*_):
        done.wait(30)

    hub.answer = answer
    with msx.connect(timeout=0.05), pytest.raises(msx.ServiceUnavailable, match="long after its timeout"):
        asyncio.run(msx.gather(mirrored.aio(1))) if on_loop else mirrored(1)
    assert hub.options == [{"timeout": 50}]
    done.set()


@pytest.mark.parametrize("form", ["ask", "start", "aio", "map"])
def test_options_of_calls(hub, form):
    stub = mirrored.options(timeout=2, idempotency_key="order-7")
    with msx.connect(timeout=9):
        if form == "ask":
            stub(1)
        elif form == "start":
            stub.start(1).result()
        elif form == "aio":
            asyncio.run(awaited(stub.aio(1)))
        else:
            list(stub.map([1]))
        mirrored.options(timeout=20)(2)
        mirrored.options(retries=2, retry_on=OSError, key="k")(3)
    assert hub.options == [
        {"timeout": 2000, "idempotency_key": "order-7"},
        {"timeout": 9000},
        {"timeout": 9000, "retries": 2, "retry_on": ["builtins.OSError"], "key": "k"},
    ]


async def awaited(future):
    return await future


def test_what_cannot_travel(hub):
    with msx.connect():
        with pytest.raises(TypeError, match=r"mirrored: argument 'x': a value of type object cannot travel"):
            mirrored.start(object())
        with pytest.raises(msx.LimitExceeded):
            mirrored(b"x" * (33 * 1024 * 1024))
    assert hub.asks == []


def test_a_connection_that_has_ended_is_not_used_again(hub):
    with msx.connect():
        mirrored(1)
        hub.hang_up()
        assert mirrored(2) == (NAME, 2)
    assert hub.accepted == 2


def test_closing_cancels_what_is_under_way(hub):
    gone = threading.Event()

    def answer(*_):
        (stream,) = hub.streams
        assert stream.recv(1) == b""
        gone.set()

    hub.answer = answer
    with msx.connect():
        mirrored.start(1)
    assert gone.wait(30)


def test_a_forked_process_has_its_own_connections(hub):
    with msx.connect():
        mirrored(1)
        child = os.fork()
        if child == 0:
            os._exit(0 if mirrored(2) == (NAME, 2) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert mirrored(3) == (NAME, 3)
    assert hub.accepted == 2


# --- where the hub is -------------------------------------------------------------------------------------


def place(project=None):
    return _hub.find(project)._place


def test_where_it_is_looked_for(hub, tmp_path, monkeypatch):
    here = tmp_path.resolve()
    inner = here / "scripts" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert place() == here
    other = here / "other"
    other.mkdir()
    (other / "services.toml").touch()
    assert place(other) == place("../../other") == place(other / "services.toml") == other
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(other / "script.py"), raising=False)
    assert place() == other
    monkeypatch.setenv("MSX_HUB", str(here))
    assert place() == here
    assert place(other) == other
    monkeypatch.setenv("MSX_HUB", str(hub.path))
    with msx.connect():
        assert mirrored(1) == (NAME, 1)


def message(project=None):
    with pytest.raises((msx.UsageError, msx.ServiceUnavailable)) as raised:
        msx.connect(project)
    return str(raised.value)


def test_where_none_is(hub, tmp_path, monkeypatch):
    root = hub.project
    hub.close()
    assert message() == f"no hub is running for {root}; start it with `msx up`"
    with (root / ".msx/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert message() == (
            f"the hub of {root} does not accept a connection on {hub.path} (No such file or directory): "
            "it may be starting or ending; `msx ps` shows whether it runs"
        )
        (root / ".msx/hub.json").write_text("{")
        assert message() == (
            f"the hub of {root} is not ready: it is starting or ending; try again in a moment"
        )
    missing, file = root / "missing", root / "file"
    file.touch()
    assert message(missing) == (
        f"there is no project to connect to: project names {missing}, which does not exist"
    )
    monkeypatch.setenv("MSX_HUB", str(file))
    assert message() == (
        f"there is no project to connect to: MSX_HUB names {file}, which is neither a folder nor a socket"
    )
    hub.close = lambda: None


def test_without_a_project(hub, monkeypatch):
    monkeypatch.chdir("/proc")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/proc/script.py")
    assert message() == (
        "there is no project to connect to: neither /proc nor a folder above has a services.toml; name it "
        "with msx.connect(project=…), or set MSX_HUB to its folder"
    )
    with pytest.raises(msx.UsageError, match="a timeout is a number of seconds above 0"):
        msx.connect(hub.project, timeout=0)


def test_a_service_is_connected_already():
    with RawWorker("outside.connects") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane)
        assert "inside of a service, stubs ask the hub already" in _codec.decode(lane.recv()[1][2])


# --- stubs by name ----------------------------------------------------------------------------------------


def test_stubs_by_name_without_a_hub():
    assert services.mirrored(1) == ("here", 1)
    assert getattr(services, NAME).start(2).result() == ("here", 2)
    with pytest.raises(msx.UsageError, match="somebody is answered by a running hub"):
        services.somebody(1)
    with pytest.raises(AttributeError):
        services.__path__  # noqa: B018
    assert repr(services.somebody) == "<microservice somebody>"
