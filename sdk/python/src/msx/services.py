"""Stubs by name: `from msx.services import price` imports nothing of the service's module.

The name is the short one, or by `getattr(services, "shop.price")` the canonical one. Whether there is such a
service is known to the hub only, so a wrong name fails when it is called.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ._service import Service


def __getattr__(name: str) -> Service[..., Any]:
    if name.startswith("_"):  # what Python itself looks for in a module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def unknown_here(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"{name} is known by its name only; import its module to run it here")

    unknown_here.__name__ = unknown_here.__qualname__ = name
    stub: Service[..., Any] = Service(unknown_here, name, {}, needs_hub=True)
    return stub
