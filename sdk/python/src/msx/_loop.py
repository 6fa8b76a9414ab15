"""Workers of `async def` services."""
from typing import Any
def LoopEngine(service: Any) -> Any: raise NotImplementedError
