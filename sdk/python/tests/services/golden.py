"""Classes of the golden values, and what writes them (`write`, after a change of the protocol)."""

import enum
import json
from dataclasses import dataclass
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
    from test_protocol import CONFORMANCE, NAMES

    content = {
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
    (CONFORMANCE / "values.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
