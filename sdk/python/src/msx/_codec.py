"""Values on the wire: MessagePack with typed extensions, so that a value arrives as what it was.

msgspec would encode a tuple as an array and a dataclass as a map, so a value is first rewritten in terms of
plain types and extensions. Scalars, and lists and dicts of scalars, need no rewriting; that is checked at C
speed. Types are matched exactly: a subclass of `dict` or `str` would come back as its base class.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import sys
import uuid
from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any
from zlib import crc32

import msgspec
from msgspec.msgpack import Ext

DEPTH_MAX = 100
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1

TUPLE, SET, FROZENSET, INT, DATETIME, DATE, TIME, TIMEDELTA = range(1, 9)
DECIMAL, UUID, ENUM, DATACLASS, NAMEDTUPLE, COMPLEX, BYTEARRAY = range(9, 16)
STRUCT, MODEL, ARRAY, SCALAR, FRAME, SERIES, INDEX, COLUMN, MOMENT = range(16, 25)

_SCALARS = frozenset({NoneType, bool, int, float, str, bytes})
_are_scalars = _SCALARS.issuperset


class CannotTravel(TypeError):
    """A value has no encoding. The message says why, and what to do."""


class TooLarge(ValueError):
    """A value takes so many bytes that no message can hold it."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a value of {size} bytes is larger than any message")
        self.size = size


# --- encoding ---------------------------------------------------------------------------------------------


class _Key:
    """An extension as the key of a dict: `Ext` is not hashable."""

    __slots__ = ("ext",)

    def __init__(self, ext: Ext) -> None:
        self.ext = ext


def _key_content(key: _Key) -> Ext:
    return key.ext


pack = msgspec.msgpack.Encoder(enc_hook=_key_content).encode


class Walk:
    """One rewriting of a value into plain types and extensions."""

    __slots__ = ("canonical", "plain", "saw_dict")

    def __init__(self, *, canonical: bool = False, exact_ints: bool = False) -> None:
        self.canonical = canonical  # sort dict entries by their encoded key
        self.saw_dict = False  # so the order of a dict may show in the bytes
        self.plain = _SCALARS - {int} if exact_ints else _SCALARS  # taken as they are

    def __call__(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in self.plain:
            return value
        if depth >= DEPTH_MAX:
            raise CannotTravel(f"it is nested deeper than {DEPTH_MAX} levels, or contains itself")
        rewrite = _REWRITES.get(kind) or _classify(kind)
        return rewrite(self, value, depth + 1)

    def all(self, values: Iterable[Any], depth: int) -> Any:
        if self.plain.issuperset(map(type, values)):
            return values
        return [self(value, depth) for value in values]

    def key(self, value: Any, depth: int) -> Any:
        rewritten = self(value, depth)
        return _Key(rewritten) if type(rewritten) is Ext else rewritten


def _int(_walk: Walk, value: int, _depth: int) -> Any:
    return value if _INT_MIN <= value <= _INT_MAX else Ext(INT, pack(str(value)))


def _list(walk: Walk, value: list[Any], depth: int) -> Any:
    return walk.all(value, depth)


def _dict(walk: Walk, value: dict[Any, Any], depth: int) -> Any:
    is_plain = walk.plain.issuperset
    if not (is_plain(map(type, value)) and is_plain(map(type, value.values()))):
        value = {walk.key(key, depth): walk(item, depth) for key, item in value.items()}
    if len(value) > 1:
        walk.saw_dict = True
        if walk.canonical:
            return dict(sorted(value.items(), key=lambda entry: pack(entry[0])))
    return value


def _tuple(walk: Walk, value: tuple[Any, ...], depth: int) -> Ext:
    return Ext(TUPLE, pack(walk.all(value, depth)))


def _set(walk: Walk, value: set[Any] | frozenset[Any], depth: int) -> Ext:
    members = sorted(pack(walk(member, depth)) for member in value)
    code = SET if type(value) is set else FROZENSET
    return Ext(code, pack([msgspec.Raw(member) for member in members]))


def _iso(code: int) -> _Rewrite:
    return lambda _walk, value, _depth: Ext(code, pack(value.isoformat()))


def _text(code: int) -> _Rewrite:
    return lambda _walk, value, _depth: Ext(code, pack(str(value)))


def _timedelta(_walk: Walk, value: datetime.timedelta, _depth: int) -> Ext:
    return Ext(TIMEDELTA, pack((value.days, value.seconds, value.microseconds)))


def _complex(_walk: Walk, value: complex, _depth: int) -> Ext:
    return Ext(COMPLEX, pack((value.real, value.imag)))


def _bytearray(_walk: Walk, value: bytearray, _depth: int) -> Ext:
    return Ext(BYTEARRAY, pack(value))


def _enum(walk: Walk, value: enum.Enum, depth: int) -> Ext:
    return Ext(ENUM, pack((type_name(type(value)), walk(value.value, depth))))


def _dataclass(walk: Walk, value: Any, depth: int) -> Ext:
    fields = {name: walk(getattr(value, name), depth) for name in _field_names(type(value))}
    return Ext(DATACLASS, pack((type_name(type(value)), fields)))


def _namedtuple(walk: Walk, value: tuple[Any, ...], depth: int) -> Ext:
    return Ext(NAMEDTUPLE, pack((type_name(type(value)), walk.all(value, depth))))


_Rewrite = Callable[[Walk, Any, int], Any]

_REWRITES: dict[type, _Rewrite] = {
    int: _int,
    list: _list,
    dict: _dict,
    tuple: _tuple,
    set: _set,
    frozenset: _set,
    datetime.datetime: _iso(DATETIME),
    datetime.date: _iso(DATE),
    datetime.time: _iso(TIME),
    datetime.timedelta: _timedelta,
    decimal.Decimal: _text(DECIMAL),
    uuid.UUID: _text(UUID),
    complex: _complex,
    bytearray: _bytearray,
}


def _classify(kind: type) -> _Rewrite:
    """The rewriting of a class that is not Python's own, remembered; raises CannotTravel."""
    from . import _arrays, _frames  # they build on this module

    rewrite = _arrays.rewrite_of(kind) or _frames.rewrite_of(kind) or _of_users(kind)
    _REWRITES[kind] = rewrite
    return rewrite


def _of_users(kind: type) -> _Rewrite:
    rewrite = _kind_of(kind)
    name = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
    if rewrite is None:
        base = next((base.__name__ for base in kind.__mro__ if base in _PLAIN_BASES), None)
        advice = (
            f"convert it with {base}(…)" if base else "send plain data, a dataclass, a NamedTuple or an Enum"
        )
        raise CannotTravel(f"a value of type {name} cannot travel; {advice}")
    if resolve(type_name(kind)) is not kind:
        raise CannotTravel(f"a value of type {name} cannot travel: the class cannot be found by that name")
    return rewrite


_PLAIN_BASES = _SCALARS | {list, dict, tuple, set, frozenset, datetime.datetime, datetime.date}


def _kind_of(kind: type) -> _Rewrite | None:
    if issubclass(kind, enum.Enum):
        return _enum
    if _is_namedtuple(kind):
        return _namedtuple
    if _is_dataclass(kind):
        return _dataclass
    from . import _models

    return _models.rewrite_of(kind)


def _is_namedtuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _is_dataclass(kind: type) -> bool:
    """Not one with a base that keeps a state of its own, like an exception or a dict."""
    is_plain = all(base is object or base.__flags__ & HEAP_TYPE for base in kind.__mro__)
    return is_plain and "__dataclass_fields__" in kind.__dict__


HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that was made at run time


def _field_names(kind: type) -> list[str]:
    """Without its ClassVars and InitVars, which are no part of a value."""
    import dataclasses

    return [field.name for field in dataclasses.fields(kind)]


def type_name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _encode_with(walk: Walk, value: Any) -> bytes:
    return pack(walk(value, 0))


def encode(value: Any) -> bytes:
    """The bytes of a value; raises CannotTravel."""
    try:
        return pack(value if type(value) in _SCALARS else Walk()(value, 0))
    except OverflowError:
        return pack(Walk(exact_ints=True)(value, 0))
    except UnicodeEncodeError:
        raise CannotTravel("a str with lone surrogates cannot travel; encode it to bytes") from None
    except RecursionError:
        raise CannotTravel("it is nested too deeply for the stack that is left") from None


def encode_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, int]:
    """The payload of arguments, and their ident: its CRC-32, with dict entries in canonical order."""
    if not kwargs and _are_scalars(map(type, args)):
        try:
            payload = pack((args, kwargs))
        except (OverflowError, UnicodeEncodeError):
            payload = encode([list(args), kwargs])
        return payload, crc32(payload)
    value = [list(args), kwargs]
    walk = Walk()
    try:
        payload = pack(walk(value, 0))
    except (OverflowError, UnicodeEncodeError, RecursionError):
        payload = encode(value)
        walk.saw_dict = True
    return payload, crc32(_canonical(value) if walk.saw_dict else payload)


def _canonical(value: Any) -> bytes:
    return pack(Walk(canonical=True, exact_ints=True)(value, 0))


# --- decoding ---------------------------------------------------------------------------------------------


def decode(payload: bytes | memoryview) -> Any:
    """The value of a payload; raises TypeError for a type that is not known here, ValueError for nonsense."""
    try:
        return _unpack(payload)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a value of msx: {error}") from None
    except RecursionError:
        raise ValueError("a value that is nested too deeply for the stack that is left") from None


def resolve(name: str) -> Any:
    """What a type name stands for, without importing or running anything; None if there is no such thing."""
    module_name, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module_name)
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found


def named(name: Any, is_kind: Callable[[type], bool], what: str) -> Any:
    kind = resolve(name) if isinstance(name, str) else None
    if isinstance(kind, type) and is_kind(kind):
        return kind
    raise TypeError(f"received a value of type {name}, but no {what} of that name is imported here")


def _is_enum(kind: type) -> bool:
    return issubclass(kind, enum.Enum)


def _to_enum(content: Any) -> Any:
    return named(content[0], _is_enum, "Enum")(content[1])


def _to_dataclass(content: Any) -> Any:
    """Neither `__init__` nor `__post_init__` runs: the fields are a state, not arguments."""
    import dataclasses

    kind: Any = named(content[0], _is_dataclass, "dataclass")
    value = object.__new__(kind)
    given = content[1]
    for field in dataclasses.fields(kind):
        name = field.name
        object.__setattr__(value, name, given[name] if name in given else _default(content[0], field))
    return value


def _default(kind_name: str, field: Any) -> Any:
    """Two versions of a class may meet while instances are being replaced: a new field has its default."""
    import dataclasses

    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    raise TypeError(f"received a {kind_name} without its field {field.name!r}, which has no default")


def _to_namedtuple(content: Any) -> Any:
    return named(content[0], _is_namedtuple, "NamedTuple")._make(content[1])


_BUILDERS: dict[int, Callable[[Any], Any]] = {
    TUPLE: tuple,
    SET: set,
    FROZENSET: frozenset,
    INT: int,
    DATETIME: datetime.datetime.fromisoformat,
    DATE: datetime.date.fromisoformat,
    TIME: datetime.time.fromisoformat,
    TIMEDELTA: lambda content: datetime.timedelta(*content),
    DECIMAL: decimal.Decimal,
    UUID: lambda content: uuid.UUID(str(content)),
    ENUM: _to_enum,
    DATACLASS: _to_dataclass,
    NAMEDTUPLE: _to_namedtuple,
    COMPLEX: lambda content: complex(*content),
    BYTEARRAY: bytearray,
}


def _build(code: int, content: memoryview) -> Any:
    build = _BUILDERS.get(code)
    return build(_unpack(content)) if build is not None else _build_foreign(code, content)


def _build_foreign(code: int, content: memoryview) -> Any:
    from . import _arrays, _frames, _models  # they build on this module

    build = _models.BUILDERS.get(code) or _frames.BUILDERS.get(code)
    raw = _arrays.RAW_BUILDERS.get(code)
    if build is None and raw is None:
        raise TypeError(f"received a value of the unknown extension type {code}; is this msx too old?")
    try:
        return raw(content) if raw is not None else build(_unpack(content))  # type: ignore[misc]
    except (TypeError, ValueError):
        raise
    except Exception as error:  # of the library, which is given nonsense
        raise ValueError(f"not a value of the extension type {code}: {error!r}") from None


_unpack = msgspec.msgpack.Decoder(ext_hook=_build).decode
