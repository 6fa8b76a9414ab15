from a import a
from msx import microservice


@microservice
async def my_sum(numbers: list[int]) -> int:
    """Sends every number through `a`, all at the same time, and adds them up."""
    started = [a.start(number) for number in numbers]
    return sum([await call for call in started])
