"""Values of classes that declare their fields by a library: msgspec's Struct, and pydantic's models.

pydantic (from version 2 on) is not imported here: a model can only exist where it is imported already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from ._codec import MODEL, STRUCT, Walk, named, pack, type_name


def rewrite_of(kind: type) -> Callable[[Walk, Any, int], Ext] | None:
    if issubclass(kind, msgspec.Struct):
        return _struct
    return _model if is_model(kind) else None


def is_model(kind: Any) -> bool:
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return base is not None and isinstance(kind, type) and issubclass(kind, base)


def _is_root(kind: type) -> bool:
    return issubclass(kind, sys.modules["pydantic"].RootModel)


# --- msgspec ----------------------------------------------------------------------------------------------


def _struct(walk: Walk, value: Any, depth: int) -> Ext:
    items = ((name, getattr(value, name)) for name in value.__struct_fields__)
    fields = {name: walk(item, depth) for name, item in items if item is not msgspec.UNSET}
    return Ext(STRUCT, pack((type_name(type(value)), fields)))


def to_struct(content: Any) -> Any:
    """By its constructor, as msgspec copies one; it checks no types, and a new field has its default."""
    kind = named(content[0], lambda kind: issubclass(kind, msgspec.Struct), "Struct")
    given = content[1]
    return kind(**{name: given[name] for name in kind.__struct_fields__ if name in given})


# --- pydantic ---------------------------------------------------------------------------------------------


def _model(walk: Walk, value: Any, depth: int) -> Ext:
    """Its state, as pydantic pickles it; the value of a RootModel stands for its fields."""
    kind = type(value)
    fields = {name: value.__dict__[name] for name in kind.model_fields if name in value.__dict__}
    fields.update(value.__pydantic_extra__ or {})
    content = walk(fields["root"] if _is_root(kind) else fields, depth)
    private = walk(dict(value.__pydantic_private__ or {}), depth)
    return Ext(MODEL, pack((type_name(kind), content, sorted(value.__pydantic_fields_set__), private)))


def to_model(content: Any) -> Any:
    """Without validation: it was valid where it came from."""
    name, given, assigned, private = content
    kind = named(name, is_model, "pydantic model")
    if _is_root(kind):
        given = {"root": given}
    fields = {field: _field(kind, field, given) for field in kind.model_fields}
    keeps_more = kind.model_config.get("extra") == "allow"
    value = kind.__new__(kind)
    value.__setstate__(
        {
            "__dict__": fields,
            "__pydantic_fields_set__": {field for field in assigned if keeps_more or field in fields},
            "__pydantic_extra__": {n: v for n, v in given.items() if n not in fields} if keeps_more else None,
            "__pydantic_private__": private if kind.__private_attributes__ else None,
        }
    )
    return value


def _field(kind: Any, name: str, given: dict[str, Any]) -> Any:
    """Two versions of a class may meet while instances are being replaced: a new field has its default."""
    if name in given:
        return given[name]
    field = kind.model_fields[name]
    if field.is_required():
        raise TypeError(f"received a {type_name(kind)} without its field {name!r}, which has no default")
    return field.get_default(call_default_factory=True)


BUILDERS: dict[int, Callable[[Any], Any]] = {STRUCT: to_struct, MODEL: to_model}
