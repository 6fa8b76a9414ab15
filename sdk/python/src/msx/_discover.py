"""`python -m msx._discover --out FILE MODULE…`: imports modules and writes down the services found in them.

The result goes to a file, because what the modules print is theirs. A module that fails hides no other.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Any

import msgspec

from msx import _context, _registry, _signature
from msx._classes import constructor_of
from msx._remote import full_traceback
from msx._service import Service
from msx._traceback import user_frames


def discover(modules: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Services and errors, as docs/protocol.md has them."""
    services: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:  # sys.exit at import included
            errors.append(_failure(module, error))
        else:
            services += [_service(service) for service in _services_of(module)]
    return {"services": services, "errors": errors}


def _services_of(module: str) -> list[Service[..., Any]]:
    return [service for service in _registry.services.values() if service.fn.__module__ == module]


def _service(service: Service[..., Any]) -> dict[str, Any]:
    module, _, name = service.name.rpartition(".")
    function: Any = inspect.unwrap(service.fn) if constructor_of(service.fn) else service.fn
    code = function.__code__
    return {
        "name": service.name,
        "module": module,
        "function": name,
        "kind": "async" if service.is_async else "def",
        "file": os.path.abspath(code.co_filename),
        "line": code.co_firstlineno,
        "options": service.settings,
        "signature": _signature.describe(service.fn, batched=service.batched),
    }


def _failure(module: str, error: BaseException) -> dict[str, Any]:
    file, line = _place(error)
    return {
        "module": module,
        "file": file,
        "line": line,
        "message": traceback.format_exception_only(type(error), error)[-1].strip(),
        "traceback": full_traceback(error, module),
    }


def _place(error: BaseException) -> tuple[str | None, int | None]:
    """Where to look: the innermost line that is the user's own, or the place of a syntax error."""
    if isinstance(error, SyntaxError) and error.filename:
        return os.path.abspath(error.filename), error.lineno
    frames = user_frames(traceback.extract_tb(error.__traceback__))
    own = [frame for frame in frames if not frame.filename.startswith(_libraries())]
    for frame in reversed(own or frames):
        return os.path.abspath(frame.filename), frame.lineno
    return None, None


def _libraries() -> tuple[str, ...]:
    return tuple(
        sysconfig.get_paths()[key] + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib")
    )


def _import_workers_needs(services: list[dict[str, Any]]) -> None:
    """A `socket.py` of the project in place of Python's own shows here once, not in each worker."""
    importlib.import_module("msx._main")
    for kind in {service["kind"] for service in services}:
        importlib.import_module("msx._loop" if kind == "async" else "msx._threads")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m msx._discover", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE")
    parser.add_argument("modules", nargs="+", metavar="MODULE")
    options = parser.parse_args(arguments)
    _context.install(_context.IMPORTING)
    found = discover(options.modules)
    _import_workers_needs(found["services"])
    options.out.write_bytes(msgspec.json.encode(found))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that a module has started would keep this process alive


if __name__ == "__main__":
    main(sys.argv[1:])
