"""What the outside may know of a function: its parameters, as text and as JSON Schema (docs/protocol.md)."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from . import _batches


def describe(fn: Callable[..., Any], *, batched: bool = False) -> dict[str, Any]:
    """The signature object of the protocol. `batched`: of one call of a function that takes lists."""
    signature = inspect.signature(fn)
    hints = _hints(fn)
    if batched:
        hints = _batches.hints_of_one(hints)
        signature = _batches.signature_of_one(fn, hints)
        hints = {name: hint for name, hint in hints.items() if hint is not Any}
    return {
        "text": _text(signature),
        "doc": _first_paragraph(inspect.getdoc(fn)),
        "returns": _annotation(signature.return_annotation),
        **({"streams": True} if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn) else {}),
        "params": [_parameter(parameter, hints) for parameter in signature.parameters.values()],
    }


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn)
    except Exception:  # names that exist for type checkers only
        return {}


def _text(signature: inspect.Signature) -> str:
    try:
        return str(signature.replace(return_annotation=inspect.Signature.empty))
    except Exception:  # a default value whose repr fails
        return f"({', '.join(signature.parameters)})"


def _first_paragraph(doc: str | None) -> str | None:
    return doc.strip().split("\n\n")[0] if doc and doc.strip() else None


def _annotation(annotation: Any) -> str | None:
    if annotation is inspect.Parameter.empty:
        return None
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _parameter(parameter: inspect.Parameter, hints: dict[str, Any]) -> dict[str, Any]:
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return {
        "name": parameter.name,
        "kind": parameter.kind.name.lower(),
        "annotation": _annotation(parameter.annotation),
        "required": parameter.default is parameter.empty and not variadic,
        "schema": _schema(hints[parameter.name]) if parameter.name in hints else None,
    }


def _schema(hint: Any) -> dict[str, Any] | None:
    try:
        schema = msgspec.json.schema(hint)
        msgspec.json.encode(schema)
    except Exception:  # a type that JSON Schema has no words for
        return None
    return schema
