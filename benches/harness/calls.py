"""The rows of `benches/costs`: which call, how it is made, what bounds it, what is expected of it."""

from dataclasses import dataclass, field

KINDS = ("def", "async def")
# fib(n) makes so many calls, itself included.
FIB = {8: 67, 12: 465, 20: 21_891}


@dataclass(frozen=True)
class Row:
    """One way to call. `step` is the smallest number of `times`; one of them is `calls` calls."""

    name: str
    how: str
    what: str
    bound: str
    kinds: tuple[str, ...] = KINDS
    calls: int = 1
    x: int = 1
    step: int = 1
    most: int = 1_000_000
    replayed: bool = False
    smaller: dict[str, int] = field(default_factory=dict)  # for Ray: calls and x of a smaller tree
    rate: dict[str, int] = field(default_factory=dict)  # by kind: calls/s that are expected
    ray: float = 0.0  # how many times as many calls/s as Ray Serve are expected


WAKES = "waking processes: caller → hub → worker → hub → caller, each idle when its message comes"
BATCHES = "CPU of the {}: messages travel in batches, so hardly any process is woken"

ROWS = (
    Row("alone: one caller, a leaf", "alone", "leaf", WAKES, rate={"def": 20_000}),
    Row("in flight: one caller, `map` with 64", "in flight", "leaf", BATCHES.format("caller's Python")),
    Row(
        "64 `async def` callers, one worker",
        "crowd",
        "async def",
        BATCHES.format("callers' and the worker's Python, and the hub"),
        step=64,
        rate={"def": 60_000, "async def": 100_000},
    ),
    Row(
        "64 `def` callers, one worker",
        "crowd",
        "def",
        "a thread per caller, which is woken for each answer; threads of one process take turns (GIL)",
        step=64,
    ),
    Row("fan-out of 100: `gather`", "fan", "leaf", BATCHES.format("caller's Python"), step=100),
    Row("parked: a call with one child, alone", "alone", "parent", "waking processes, eight times: two calls in each other"),
    Row("parked: a call with one child, 64 in flight", "in flight", "parent", "`def`: a thread per parked call, woken for its resume; `async def`: Python"),
    Row(
        "not replayed: 1,000 calls with one child at once",
        "at once",
        "parent",
        "as the row above; to compare with the next",
        step=10,
        most=1000,
    ),
    Row(
        "replayed: the same under `MSX_REPLAY=always`",
        "at once",
        "parent",
        "each parent runs twice: evicted, dispatched again with its recorded result",
        step=10,
        most=1000,
        replayed=True,
    ),
    Row("depth 100: recursion, per level", "alone", "deep", "waking the same two processes in turn; nothing runs beside it", calls=100, x=100),
    Row("chain of three, alone", "alone", "chain", "waking processes, twelve times", ray=20),
    Row("chain of three, 64 in flight", "in flight", "chain", "CPU: the threads (`def`) or loops (`async def`) of four processes, and the hub", ray=20),
    Row("payload of 1 KB, alone", "alone", "data", WAKES, x=1_000),
    Row("payload of 1 MB, alone", "alone", "data", "copies of the payload: encode, write, read, write, read, decode", x=1_000_000),
    Row("payload of 16 MB, alone", "alone", "data", "copies of the payload, now out of the processor's cache", x=16_000_000),
    Row(
        "`fib(20)`, one slot, per call",
        "alone",
        "fib",
        "waking processes: one call runs at a time, the others are parked",
        calls=FIB[20],
        x=20,
        smaller={"calls": FIB[8], "x": 8},
    ),
)  # fmt: skip
