"""Where the hub of a project is, for a program that is not one of its services.

The same rules as those of the `msx` command: a project is the nearest folder upwards with a `services.toml`
or an `.msx/`, a lock says whether its hub runs, and `hub.json` names the control socket.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from ._errors import ServiceUnavailable, UsageError

MANIFEST, STATE, VARIABLE = "services.toml", ".msx", "MSX_HUB"


class Hub:
    """A hub, running or not: that of a project, or the one behind a control socket."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __str__(self) -> str:
        return f"the hub of {self._place}" if self._place.is_dir() else f"the hub at {self._place}"

    def open(self) -> socket.socket:
        """A new connection. The hub may have been restarted since the last one, so it is looked for anew."""
        path = self._socket() if self._place.is_dir() else self._place
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
        except OSError as error:
            sock.close()
            raise ServiceUnavailable(
                f"{self} does not accept a connection on {path} ({error.strerror or error}): it may be "
                "starting or ending; `msx ps` shows whether it runs"
            ) from None
        return sock

    def _socket(self) -> Path:
        state = self._place / STATE
        if not _is_locked(state / "lock"):
            raise ServiceUnavailable(f"no hub is running for {self._place}; start it with `msx up`")
        try:
            return Path(msgspec.json.decode((state / "hub.json").read_bytes())["socket"])
        except (OSError, msgspec.DecodeError, LookupError, TypeError):
            raise ServiceUnavailable(
                f"{self} is not ready: it is starting or ending; try again in a moment"
            ) from None


def find(project: str | os.PathLike[str] | None) -> Hub:
    """The hub of the named project; else that of `MSX_HUB`; else the one of the script's or this folder."""
    if project is not None:
        return Hub(_named(Path(project), "project"))
    place = os.environ.get(VARIABLE)
    if place:
        return Hub(_named(Path(place), VARIABLE))
    folders = _here()
    for folder in folders:
        for candidate in (folder, *folder.parents):
            if (candidate / MANIFEST).is_file() or _is_own_state(candidate / STATE):
                return Hub(candidate)
    looked = " nor ".join(str(folder) for folder in folders)
    raise UsageError(
        f"there is no project to connect to: neither {looked} nor a folder above has a {MANIFEST}; name it "
        f"with msx.connect(project=…), or set {VARIABLE} to its folder"
    )


def _named(place: Path, how: str) -> Path:
    """A folder is a project, anything else its manifest or the hub's control socket."""
    place = place.absolute()
    if place.name == MANIFEST:
        place = place.parent
    if not place.exists():
        raise UsageError(f"there is no project to connect to: {how} names {place}, which does not exist")
    if place.is_dir() or place.is_socket():
        return place.resolve()
    raise UsageError(
        f"there is no project to connect to: {how} names {place}, which is neither a folder nor a socket"
    )


def _here() -> list[Path]:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    folders = [Path(script).absolute().parent] if script else []
    folders.append(Path.cwd())
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def _is_own_state(path: Path) -> bool:
    """Another user's `.msx`, in a shared folder such as `/tmp`, must not say which hub ours is."""
    with suppress(OSError):
        info = path.lstat()
        return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid()
    return False


def _is_locked(path: Path) -> bool:
    """Shared, so that programs that look at the same time do not take each other for a hub."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
