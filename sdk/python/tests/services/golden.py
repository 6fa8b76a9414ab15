"""Classes of the golden values, and what writes them (`write`, after a change of the protocol)."""

import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: int = 0


class Pair(NamedTuple):
    left: int
    right: str


VALUES = """
None
True
0
-1
127
-33
65536
2**64 - 1
-(2**63)
2**64
1.5
'a'
'\\u00e4' * 20
b'\\x00\\xff'
[1, [2], 'x']
{'b': 1, 'a': {1: None}}
(1, (2,))
{3, 1, 2}
{'b', 'aa', 1}
frozenset({'x'})
{(1, 2): 3}
datetime.datetime(2024, 2, 29, 12, 30, 1, 500)
datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
datetime.date(2024, 2, 29)
datetime.time(12, 30)
datetime.timedelta(days=-1, seconds=5, microseconds=7)
Decimal('1.10')
UUID(int=1)
golden.Colour.RED
golden.Point(1, 2)
golden.Pair(1, 'r')
1 - 2j
bytearray(b'xyz')
""".strip().split("\n")

ARGUMENTS = """
((), {})
((1, 'two', None), {})
((1,), {'y': 2})
(({'b': 1, 'aa': 2},), {})
(({'aa': 2, 'b': 1},), {})
((), {'b': 1, 'aa': {'z': 1, 'y': (2,)}})
(({'x', 'y'}, [{2: 1, 1: 2}]), {})
((2**64, -1.5), {})
""".strip().split("\n")


def write() -> None:
    from msx import _codec
    from msx import _protocol as p
    from test_protocol import NAMES, fields_of

    arguments, ident = _codec.encode_arguments((1, "x"), {"k": None})
    seven = _codec.encode(7)
    error = _codec.encode({"type": "builtins.ValueError"})
    one, two = (p.Entry(seq, "c.c", ident, arguments) for seq in (0, 1))
    messages = [
        p.Hello(1, "0.1.0", "3.11.7", 4242, "b.b", "def", b'{"text": "(x)"}'),
        p.Pong(2**63 + 1), p.Stack(7, 1, "  File ..."), p.NewLane(3), p.Ping(2**63 + 1),
        p.Interrupt(7, 1, "ran for 30 s"), p.Drain(),
        p.Run(2**64 - 1, 2, arguments, "a.a", [p.Recorded(0, "c.c", ident, True, seven)], 32 * 1024 * 1024),
        p.Run(1, 1, arguments, None, [], 32 * 1024 * 1024),
        p.Resume(7, 1, [p.Result(0, True, seven), p.Result(3, False, error)]),
        p.Evict(7, 1),
        p.Calls(7, 1, [one, two], (0, [0, 1])),
        p.Calls(7, 1, [p.Entry(2, "c.c", ident, arguments)], None), p.Calls(7, 1, [], (1, [2, 300])),
        p.Return(7, 1, seven), p.Raise(7, 1, error), p.Evicted(7, 1),
        p.Memo(7, 1, 4, 12345, True, seven),
    ]  # fmt: skip
    content = {
        "messages": [
            {"name": type(m).__name__, "tag": m.TAG, "bytes": p.frame(m).hex(), "fields": fields_of(m)}
            for m in messages
        ],
        "values": [{"python": text, "bytes": _codec.encode(eval(text, NAMES)).hex()} for text in VALUES],
        "arguments": [
            {"python": text, "bytes": payload.hex(), "ident": crc}
            for text in ARGUMENTS
            for payload, crc in [_codec.encode_arguments(*eval(text, NAMES))]
        ],
    }
    lines = [
        f' "{key}": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n ]" for key, rows in content.items()
    ]
    (Path(__file__).parent.parent / "conformance.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
