"""Classes of the golden values, and what writes them (`write`, after a change of the protocol)."""

import enum
import json
from dataclasses import dataclass
from typing import NamedTuple

import msgspec


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: int = 0


class Pair(NamedTuple):
    left: int
    right: str


class Item(msgspec.Struct):
    name: str
    price: float = 0.5


try:
    import pydantic
except ModuleNotFoundError:
    pass
else:

    class Model(pydantic.BaseModel, extra="allow"):
        x: int = 1
        _seen: int = pydantic.PrivateAttr(3)

    class Root(pydantic.RootModel[list[int]]):
        pass


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

# Values of libraries, and how the command line and the gateway show them.
SHOWN = {
    "golden.Item('a')": '{"name":"a","price":0.5}',
    "golden.Model(x=2, y=True)": '{"x":2,"y":true}',
    "golden.Root([1, 2])": "[1,2]",
    "np.array([[1, 2, 3], [4, 5, 6]], '<i2')": "[[1,2,3],[4,5,6]]",
    "np.array([[1, 2, 3], [4, 5, 6]], '>i4', order='F')": "[[1,2,3],[4,5,6]]",
    "np.arange(12, dtype='u1').reshape(2, 3, 2).transpose(2, 1, 0)": "[[[0,6],[2,8],[4,10]],[[1,7],[3,9],[5,11]]]",
    "np.zeros((2, 0, 3))": "[[],[]]",
    "np.array(-1, '<i8')": "-1",
    "np.array([0.1, -0.0, np.nan])": "[0.1,-0.0,null]",
    "np.array([0.1], '<f4')": "[0.1]",
    "np.array([1.5, -2, 6e-8, np.inf], '<f2')": "[1.5,-2.0,5.9604645e-8,null]",
    "np.array([1 - 2j])": "[[1.0,-2.0]]",
    "np.array([True, False])": "[true,false]",
    "np.array(['a\"', '\u00e4\u20ac', ''])": '["a\\"","\u00e4\u20ac",""]',
    "np.array([b'fo', b''])": '["Zm8=",""]',
    "np.array(['2024-02-29T12:30:01.5', 'NaT'], 'M8[ms]')": '["2024-02-29T12:30:01.5",null]',
    "np.array(['1969-12-31', '2024-02-29'], 'M8[D]')": '["1969-12-31","2024-02-29"]',
    "np.array(['1969-11', '2024-02'], 'M8[M]')": '["1969-11-01","2024-02-01"]',
    "np.array([-1, 1500], 'm8[ms]')": "[-0.001,1.5]",
    "np.array([1, -3], 'm8[25m]')": "[1500,-4500]",
    "np.float64(2.5)": "2.5",
    "np.uint8(200)": "200",
    "np.datetime64('2024-02-29')": '"2024-02-29"',
    "pd.DataFrame({'x': [1, 2], 'y': [0.5, None], 'z': ['a', None]})": '[{"x":1,"y":0.5,"z":"a"},{"x":2,"y":null,"z":null}]',
    "pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([('a', 1), ('b', 2)]))": '[{"[\\"a\\",1]":1,"[\\"b\\",2]":2}]',
    "pd.DataFrame({'c': pd.Categorical(['v', None, 'v']), 'n': pd.array([1, None, 3], 'Int64')})": '[{"c":"v","n":1},{"c":null,"n":null},{"c":"v","n":3}]',
    "pd.DataFrame(index=pd.RangeIndex(2))": "[{},{}]",
    "pd.Series(pd.to_datetime(['2024-02-29T12:00:00Z', None]), name='t')": '["2024-02-29T12:00:00Z",null]',
    "pd.Series(['a', None], dtype='string')": '["a",null]',
    "pd.Index([3, 1], name='n')": "[3,1]",
    "pd.RangeIndex(5, 0, -2)": "[5,3,1]",
    "pd.MultiIndex.from_tuples([('a', 1), ('b', 2)])": '[["a",1],["b",2]]',
    "pd.Timestamp('2024-02-29T12:30:00+01:00')": '"2024-02-29T11:30:00Z"',
    "pd.Timestamp('2024-02-29')": '"2024-02-29T00:00:00"',
    "pd.Timedelta(90, 's')": "90",
    "pd.NaT": "null",
    "pd.NA": "null",
}

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
        "shown": [
            {"python": text, "bytes": _codec.encode(eval(text, NAMES)).hex(), "json": shown}
            for text, shown in SHOWN.items()
        ],
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
