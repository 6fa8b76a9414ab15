"""Exceptions on the wire: an exception to an error map (docs/protocol.md, Errors) and back.

The caller gets an exception of a class made on the fly that derives from the original class, so that
`except ValueError` works, and from `RemoteError`. It is made without running the original's `__init__`, whose
parameters nobody knows here; message, args and attributes are restored as they were. Where the class is not
imported, the nearest imported base class stands in for it.
"""

from __future__ import annotations

import builtins
import sys
from contextlib import suppress
from types import MemberDescriptorType
from typing import Any, NoReturn

from . import _codec
from ._errors import Cancelled, RemoteError
from ._traceback import format_error

CAUSES_MAX = 16
ERRORS_MAX = 256  # in one payload: causes, contexts and members together
TEXT_MAX = 64 * 1024
TRACEBACK_MAX = 32 * 1024

ErrorMap = dict[str, Any]


# --- to the wire ------------------------------------------------------------------------------------------


def encode_error(error: BaseException, service: str, size_max: int) -> bytes:
    """The payload of an error; whatever makes it larger than `size_max` is left out."""
    content = _Writer(service).to_map(error, 0) or {}
    payload = _codec.encode(content)
    if len(payload) > size_max:
        content.update(args=None, attributes=None, cause=None, context=None, notes=None, group=None)
        content["message"] = content["message"][:TEXT_MAX]
        content["traceback"] = content["traceback"][-TEXT_MAX:]
        payload = _codec.encode(content)
    return payload


class _Writer:
    """Writes an error with all that belongs to it, each once: what is chained may form a ring."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._seen: set[int] = set()

    def to_map(self, error: BaseException | None, depth: int) -> ErrorMap | None:
        if error is None or id(error) in self._seen or isinstance(error, _Printed):
            return None
        if depth > CAUSES_MAX or len(self._seen) >= ERRORS_MAX:
            return None
        self._seen.add(id(error))
        is_remote = _is_remote(error)
        origin: ErrorMap = error.__dict__["_msx_origin"] if is_remote else _origin(error, self._service)
        parts = members(error)
        group = None if parts is None else self._members(parts, depth)  # first: a context may be one of them
        return {
            "type": origin["type"],
            "message": _clean(_message(error)),
            "args": _encoded(list(error.args if group is None else error.args[:1])),
            "attributes": _encoded(_attributes(error)),
            "mro": origin["mro"],
            "service": origin["service"],
            "via": [*origin["via"], *([self._service] if error.__traceback__ else [])] if is_remote else [],
            "traceback": _shortened(_clean(full_traceback(error, self._service))),
            "cause": self.to_map(error.__cause__, depth + 1),
            "context": self._context(error, depth),
            "suppress_context": error.__suppress_context__,
            "notes": [_clean(note) for note in own_notes(error)],
            "group": group,
        }

    def _context(self, error: BaseException, depth: int) -> ErrorMap | bool | None:
        """True: it is the cause."""
        if error.__context__ is not None and error.__context__ is error.__cause__:
            return True
        return self.to_map(error.__context__, depth + 1)

    def _members(self, group: tuple[BaseException, ...], depth: int) -> list[ErrorMap]:
        written = [self.to_map(error, depth + 1) for error in group]
        return [content for content in written if content is not None]


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
    own: tuple[str, ...] = ("service", "traceback", "via") if isinstance(error, RemoteError) else ()
    if members(error) is not None:
        own += ("message", "exceptions")
    state = {name: getattr(error, name, None) for name in _members(error)}
    state.update(error.__dict__)
    return {
        name: value
        for name, value in state.items()
        if not name.startswith(("_msx_", "__")) and name not in own and _encoded(value) is not None
    }


def own_notes(error: BaseException) -> list[str]:
    """Its notes, but for the one that shows its remote traceback."""
    notes, hidden = getattr(error, "__notes__", None), error.__dict__.get("_msx_note")
    return [str(note) for note in notes if note != hidden] if isinstance(notes, (list, tuple)) else []


def members(error: BaseException) -> tuple[BaseException, ...] | None:
    """Those of an exception group."""
    if _GROUP is None or not isinstance(error, _GROUP):
        return None
    group: tuple[BaseException, ...] = error.exceptions  # pyright: ignore
    return group


_GROUP: Any = getattr(builtins, "BaseExceptionGroup", None)  # from Python 3.11 on


def _encoded(value: Any) -> bytes | None:
    try:
        return _codec.encode(value)
    except Exception:  # also what a property or a descriptor of the user's may raise
        return None


def _cause(error: BaseException) -> BaseException | None:
    """What Python prints before it."""
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    return None if isinstance(cause, _Printed) else cause


def full_traceback(error: BaseException, service: str) -> str:
    """As Python prints it, causes first; a remote exception starts with its traceback in other services."""
    text, seen = _own_traceback(error, service), {id(error)}
    while not _is_remote(error) and (cause := _cause(error)) is not None and id(cause) not in seen:
        if len(seen) > CAUSES_MAX:
            break
        joint = (
            "The above exception was the direct cause of the following exception:"
            if error.__cause__ is not None
            else "During handling of the above exception, another exception occurred:"
        )
        text = f"{_own_traceback(cause, service)}\n{joint}\n\n{text}"
        seen.add(id(cause))
        error = cause
    return text


def _own_traceback(error: BaseException, service: str) -> str:
    if not _is_remote(error):
        return format_error(error)
    remote: str = error.__dict__["traceback"]
    if remote and error.__traceback__ is None:  # it came as a part of another, and was not raised here
        return remote
    own = format_error(error, hide_note=error.__dict__.get("_msx_note"), members=not remote)
    return f"{remote.rstrip()}\n\nIt passed through the service {service}:\n\n{own}" if remote else own


def _is_remote(error: BaseException) -> bool:
    return "_msx_origin" in error.__dict__


# --- from the wire ----------------------------------------------------------------------------------------


class _Printed(Exception):
    """Carries the remote traceback to where Python 3.10 prints it; later ones have notes."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def decode_error(payload: bytes | memoryview) -> BaseException:
    """The exception to raise at the call; never fails, whatever the payload lacks."""
    try:
        content = _codec.decode(payload)
        return from_map(content if isinstance(content, dict) else {})
    except Exception as failure:
        return RemoteError(f"the call failed with an error that cannot be read here: {failure}")


def raise_as_it_is(error: BaseException) -> NoReturn:
    """In an `except` block Python would put the exception that is handled there in place of its context."""
    context = error.__context__
    try:
        raise error
    finally:
        if context is not None:
            error.__context__ = context
        del error, context


def from_map(content: ErrorMap, *, local: bool = False) -> BaseException:
    """`local`: its traceback will be a real one (plain mode), so there is nothing to print in addition."""
    name, message = str(content.get("type", "?")), str(content.get("message", ""))
    if name == "msx.Cancelled":
        return Cancelled(message)
    error = _instance(name, content.get("mro") or [], _arguments(content, message))
    attributes = _decoded(content.get("attributes"))
    if isinstance(attributes, dict):
        _restore(error, attributes)
    error.service, error.via = str(content.get("service", "")), tuple(content.get("via") or ())
    error.traceback = str(content.get("traceback", ""))
    mro = content.get("mro") or ["builtins.Exception"]
    origin = {"type": name, "mro": mro, "service": error.service, "via": list(error.via)}
    error.__dict__.update(_msx_message=message, _msx_origin=origin)
    _chain(error, content)
    if not local and error.traceback and members(error) is None:  # those of a group show theirs
        _print_with(error)
    return error


def _arguments(content: ErrorMap, message: str) -> tuple[Any, ...]:
    args, group = _decoded(content.get("args")), content.get("group")
    args = tuple(args) if isinstance(args, list) else (message,)
    if isinstance(group, list) and group:
        return *args[:1], [_member(part) for part in group]
    return args


def _member(content: Any) -> BaseException:
    """An Exception: a group of Exceptions holds no other."""
    error = from_map(content if isinstance(content, dict) else {})
    return error if isinstance(error, Exception) else _make(RemoteError, error.args)


def _chain(error: RemoteError, content: ErrorMap) -> None:
    cause, context = content.get("cause"), content.get("context")
    if isinstance(cause, dict):
        error.__cause__ = from_map(cause, local=True)
    if isinstance(context, dict):
        error.__context__ = from_map(context, local=True)
    elif context is True:
        error.__context__ = error.__cause__
    error.__suppress_context__ = bool(content.get("suppress_context", error.__cause__ is not None))
    notes = content.get("notes")
    if isinstance(notes, list) and notes:
        error.__dict__["__notes__"] = list(map(str, notes))


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


def _instance(name: str, mro: list[str], args: tuple[Any, ...]) -> RemoteError:
    """An exception of the most derived class that can be had."""
    if "builtins.BaseExceptionGroup" in (name, *mro):
        mro = [*mro, "builtins.ExceptionGroup"]  # its members are Exceptions here
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
        if isinstance(descriptor, MemberDescriptorType) and not name.startswith("__")
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
    bases = (original, RemoteError)
    kind: type[RemoteError] = type(qualname.rpartition(".")[2], bases, body)  # pyright: ignore
    return kind
