"""Exceptions on the wire: an exception to an error map (docs/protocol.md, Errors) and back.

The caller gets an exception of a class made on the fly that derives from the original class, so that
`except ValueError` works, and from `RemoteError`. It is made without running the original's `__init__`, whose
parameters nobody knows here; message, args and attributes are restored as they were. Where the class is not
imported, the nearest imported base class stands in for it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from types import MemberDescriptorType
from typing import Any

from . import _codec
from ._errors import Cancelled, RemoteError
from ._traceback import format_error

CAUSES_MAX = 16
TEXT_MAX = 64 * 1024
TRACEBACK_MAX = 32 * 1024

ErrorMap = dict[str, Any]


# --- to the wire ------------------------------------------------------------------------------------------


def encode_error(error: BaseException, service: str, size_max: int) -> bytes:
    """The payload of an error; whatever makes it larger than `size_max` is left out."""
    content = _to_map(error, service, 0)
    payload = _codec.encode(content)
    if len(payload) > size_max:
        content.update(args=None, attributes=None, cause=None)
        content["message"] = content["message"][:TEXT_MAX]
        content["traceback"] = content["traceback"][-TEXT_MAX:]
        payload = _codec.encode(content)
    return payload


def _to_map(error: BaseException, service: str, depth: int) -> ErrorMap:
    origin: ErrorMap = error.__dict__.get("_msx_origin") or _origin(error, service)
    cause = _cause(error) if depth < CAUSES_MAX else None
    return {
        "type": origin["type"],
        "message": _clean(_message(error)),
        "args": _encoded(list(error.args)),
        "attributes": _encoded(_attributes(error)),
        "mro": origin["mro"],
        "service": origin["service"],
        "via": [*origin["via"], service] if "_msx_origin" in error.__dict__ else [],
        "traceback": _shortened(_clean(full_traceback(error, service))),
        "cause": _to_map(cause, service, depth + 1) if cause is not None else None,
    }


def _origin(error: BaseException, service: str) -> ErrorMap:
    names = [_name(kind) for kind in type(error).__mro__ if issubclass(kind, BaseException)]
    top = "builtins.Exception" if isinstance(error, Exception) else "builtins.BaseException"
    return {"type": names[0], "mro": names[1 : names.index(top) + 1], "service": service, "via": []}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error.__dict__.get("_msx_message", error))
    except Exception as failure:
        return f"<str() of this {type(error).__name__} raised {type(failure).__name__}>"


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _shortened(text: str) -> str:
    """Without its middle, if it is long: of a recursion through a thousand services, say."""
    if len(text) <= TRACEBACK_MAX:
        return text
    head = text[: TRACEBACK_MAX * 3 // 4].rpartition("\n")[0]
    tail = text[-TRACEBACK_MAX // 4 :].partition("\n")[2]
    return f"{head}\n\n[…]\n\n{tail}"


def _attributes(error: BaseException) -> dict[str, Any]:
    """What `__init__` of the user's class has set, as far as it can travel."""
    own = ("service", "traceback", "via") if isinstance(error, RemoteError) else ()
    state = {name: getattr(error, name, None) for name in _members(error)}
    state.update(error.__dict__)
    return {
        name: value
        for name, value in state.items()
        if not name.startswith(("_msx_", "__")) and name not in own and _encoded(value) is not None
    }


def _encoded(value: Any) -> bytes | None:
    try:
        return _codec.encode(value)
    except Exception:  # also what a property or a descriptor of the user's may raise
        return None


def _cause(error: BaseException) -> BaseException | None:
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    return None if isinstance(cause, _Printed) else cause


def full_traceback(error: BaseException, service: str, depth: int = 0) -> str:
    """As Python prints it, causes first; a remote exception starts with its traceback in other services."""
    own = format_error(error, hide_note=error.__dict__.get("_msx_note"))
    if "_msx_origin" in error.__dict__:
        remote: str = error.__dict__["traceback"]
        return f"{remote.rstrip()}\n\nIt passed through the service {service}:\n\n{own}" if remote else own
    cause = _cause(error)
    if cause is None or depth >= CAUSES_MAX:
        return own
    joint = (
        "The above exception was the direct cause of the following exception:"
        if error.__cause__ is not None
        else "During handling of the above exception, another exception occurred:"
    )
    return f"{full_traceback(cause, service, depth + 1)}\n{joint}\n\n{own}"


# --- from the wire ----------------------------------------------------------------------------------------


class _Printed(Exception):
    """Carries the remote traceback to where Python 3.10 prints it; later ones have notes."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def decode_error(payload: bytes | memoryview) -> BaseException:
    """The exception to raise at the call; never fails, whatever the payload lacks."""
    try:
        content = _codec.decode(payload)
    except Exception as failure:
        return RemoteError(f"the call failed with an error that cannot be read here: {failure}")
    return from_map(content if isinstance(content, dict) else {})


def from_map(content: ErrorMap, *, local: bool = False) -> BaseException:
    """`local`: its traceback will be a real one (plain mode), so there is nothing to print in addition."""
    name, message = str(content.get("type", "?")), str(content.get("message", ""))
    if name == "msx.Cancelled":
        return Cancelled(message)
    error = _instance(name, content.get("mro") or [], _decoded(content.get("args")), message)
    attributes = _decoded(content.get("attributes"))
    if isinstance(attributes, dict):
        _restore(error, attributes)
    error.service, error.via = str(content.get("service", "")), tuple(content.get("via") or ())
    error.traceback = str(content.get("traceback", ""))
    mro = content.get("mro") or ["builtins.Exception"]
    origin = {"type": name, "mro": mro, "service": error.service, "via": list(error.via)}
    error.__dict__.update(_msx_message=message, _msx_origin=origin)
    cause = content.get("cause")
    if isinstance(cause, dict):
        error.__cause__ = from_map(cause, local=True)
    if not local and error.traceback:
        _print_with(error)
    return error


def _decoded(payload: Any) -> Any:
    try:
        return _codec.decode(payload)
    except Exception:  # a type that is not imported here, or nothing at all
        return None


def _print_with(error: RemoteError) -> None:
    text = f"\nRaised in the service {error.service}:\n\n{error.traceback.rstrip()}"
    if sys.version_info >= (3, 11):
        error.add_note(text)
        error.__dict__["_msx_note"] = text
    else:
        last: BaseException = error
        while last.__cause__ is not None:
            last = last.__cause__
        last.__cause__ = _Printed(text)


def _instance(name: str, mro: list[str], args: Any, message: str) -> RemoteError:
    """An exception of the most derived class that can be had."""
    args = tuple(args) if isinstance(args, list) else (message,)
    for base in [name, *mro]:
        original = _find(base)
        if original is None or not issubclass(original, Exception):
            continue
        try:
            return _make(_remote_class(original, name), args)
        except Exception:  # a layout or a __new__ that cannot be combined: try its base class
            continue
    return _make(RemoteError, args)


def _make(kind: type[RemoteError], args: tuple[Any, ...]) -> RemoteError:
    """`__new__` and `__init__` of the class's C base, so that no code of the user's runs."""
    base: Any = next(base for base in kind.__mro__ if not base.__flags__ & _codec.HEAP_TYPE)
    error: RemoteError = base.__new__(kind, *args)
    base.__init__(error, *args)
    error.args = args
    return error


def _members(error: BaseException) -> list[str]:
    """Fields that C classes keep outside of `__dict__`, like `OSError.filename`."""
    return [
        name
        for base in type(error).__mro__
        for name, descriptor in vars(base).items()
        if isinstance(descriptor, MemberDescriptorType) and not name.startswith("_")
    ]


def _restore(error: BaseException, attributes: dict[str, Any]) -> None:
    members = _members(error)
    for name, value in attributes.items():
        if name in members:
            with suppress(AttributeError, TypeError):  # a read-only one has its value by `__new__`
                setattr(error, name, value)
        else:
            error.__dict__[name] = value


def _find(name: str) -> type[BaseException] | None:
    """The class of that name, if its module is imported."""
    module, _, qualname = name.rpartition(".")
    while module:
        if module in sys.modules:
            found = _codec.resolve(f"{module}:{qualname}")
            return found if isinstance(found, type) and issubclass(found, BaseException) else None
        module, _, outer = module.rpartition(".")
        qualname = f"{outer}.{qualname}"
    return None


_classes: dict[tuple[type, str], type[RemoteError]] = {}


def _remote_class(original: type[Exception], name: str) -> type[RemoteError]:
    if issubclass(original, RemoteError):
        return original
    known = _classes.get((original, name))
    if known is None:
        known = _classes[original, name] = _new_class(original, name)
    return known


def _new_class(original: type[Exception], name: str) -> type[RemoteError]:
    """It has the original's name, because that is what should be printed."""
    found = _find(name)
    module, _, qualname = name.rpartition(".")
    if found is not None:
        module, qualname = found.__module__, found.__qualname__
    body = {
        "__module__": module,
        "__qualname__": qualname,
        "__doc__": original.__doc__,
        "__str__": RemoteError.__str__,
    }
    kind: type[RemoteError] = type(qualname.rpartition(".")[2], (original, RemoteError), body)
    return kind
