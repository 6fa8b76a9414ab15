"""Stubs by name: `from msx.services import price` imports nothing of the service's module.

The name is the short one, or by `getattr(services, "shop.price")` the canonical one. Whether there is such a
service is known to the hub only, so a wrong name fails when it is called.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ._service import Service


class NamedService(Service[..., Any]):
    """A stub that has no function. It does not know either whether that is a `def` or an `async def`: calling
    it blocks, and an event loop awaits `.aio(…)`."""

    def __init__(self, name: str) -> None:
        def unknown_here(*_args: Any, **_kwargs: Any) -> NoReturn:
            raise NotImplementedError(f"{name} is known by its name only; import its module to run it here")

        unknown_here.__name__ = unknown_here.__qualname__ = name
        super().__init__(unknown_here, name, {}, needs_hub=True)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


def __getattr__(name: str) -> NamedService:
    if name.startswith("_"):  # what Python itself looks for in a module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return NamedService(name)
