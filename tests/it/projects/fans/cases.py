"""A table of functions, to which `@` adds one by its name."""

from collections.abc import Callable
from typing import Any


class Cases(dict[str, Callable[..., Any]]):
    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self[function.__name__] = function
        return function
