"""Values of libraries: msgspec, pydantic, numpy and pandas. What is sent is what arrives."""

import datetime
import subprocess
import sys
from decimal import Decimal

import msgspec
import pytest

from msx import _codec
from msx._arguments import argument_decoder
from msx._codec import CannotTravel, TooLarge, decode, encode, encode_arguments

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
pydantic = pytest.importorskip("pydantic")


class Item(msgspec.Struct):
    name: str
    price: Decimal = Decimal(1)
    tags: set[str] = msgspec.field(default_factory=set, name="labels")


class Sealed(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True, gc=False):
    x: int
    note: str | msgspec.UnsetType = msgspec.UNSET


class Customer(pydantic.BaseModel):
    name: str
    since: datetime.date | None = None
    scores: tuple[int, ...] = (1, 2)


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True, frozen=True)
    customer: Customer = pydantic.Field(alias="by")
    items: list[Item]
    _seen: int = pydantic.PrivateAttr(0)


class Loose(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    x: int = 0


Names = pydantic.RootModel[list[str]]


class Tags(pydantic.RootModel[set[str]]):
    pass


@pydantic.dataclasses.dataclass
class Sized:
    size: int


ORDER = Order(by=Customer(name="Ann", since=datetime.date(2024, 1, 1)), items=[Item("a", tags={"x"})])
ORDER._seen = 7
RECORDS = [
    Item("a"),
    Item("b", Decimal("1.10"), {"x"}),
    Sealed(x=1),
    Sealed(x=1, note=""),
    [Item("a"), {"k": Item("b")}],
    Customer(name="Ann"),
    ORDER,
    Loose(x=1, y=(2,)),
    Loose(),
    Tags({"a"}),
    Sized(3),
    {Sealed(x=2): 1},
]


@pytest.mark.parametrize("value", RECORDS, ids=repr)
def test_records(value):
    arrived = decode(encode(value))
    assert arrived == value
    assert type(arrived) is type(value)


def test_what_pydantic_remembers():
    arrived = decode(encode(ORDER))
    assert arrived._seen == 7
    assert arrived.customer.model_fields_set == {"name", "since"}
    assert decode(encode(Loose(x=1, y=2))).model_extra == {"y": 2}
    arrived.customer.name = "Bob"
    with pytest.raises(pydantic.ValidationError):
        arrived.items = []


def ext(code, *content):
    data = encode(list(content))
    return bytes([0xC8, *len(data).to_bytes(2, "big"), code]) + data


HERE = __name__


def test_two_versions_of_a_class():
    assert decode(ext(_codec.STRUCT, f"{HERE}:Item", {"name": "a", "gone": 1})) == Item("a")
    given = {"name": "a", "gone": 1}
    assert decode(ext(_codec.MODEL, f"{HERE}:Customer", given, ["name", "gone"], {})) == Customer(name="a")
    with pytest.raises(TypeError, match="'name'"):
        decode(ext(_codec.STRUCT, f"{HERE}:Item", {}))
    with pytest.raises(TypeError, match=f"received a {HERE}:Customer without its field 'name'"):
        decode(ext(_codec.MODEL, f"{HERE}:Customer", {}, [], {}))


@pytest.mark.parametrize("name", ["no.such:Thing", f"{HERE}:Customer", "builtins:eval", f"{HERE}:ORDER"])
def test_names_resolve_to_such_classes_only(name):
    with pytest.raises(TypeError, match=f"received a value of type {name}, but no Struct"):
        decode(ext(_codec.STRUCT, name, {}))
    if "Customer" not in name:
        with pytest.raises(TypeError, match=f"received a value of type {name}, but no pydantic model"):
            decode(ext(_codec.MODEL, name, {}, [], {}))


ARRAYS = [
    np.zeros(0),
    np.zeros((3, 0, 2)),
    np.array(5),
    np.arange(6).reshape(2, 3),
    np.asfortranarray(np.ones((2, 3))),
    np.arange(24, dtype=">i4").reshape(2, 3, 4).T,
    np.arange(20)[::3],
    np.arange(20.0).reshape(4, 5)[:, ::2],
    np.array([True, False]),
    np.array([1 + 2j], "c8"),
    np.array(["ä", "bcd"]),
    np.array([b"a", b""]),
    np.array([""]),
    np.array(["2024-02-29", "NaT"], "M8[ns]"),
    np.array([1, 2], "m8[h]"),
    np.array([0.5, np.nan, np.inf], "f2"),
    np.broadcast_to(np.arange(3), (4, 3)),
    np.arange(5, dtype="u1"),
    np.array([1], np.longdouble),
]


def same_array(left, right):
    equal_nan = right.dtype.kind in "fcmM"
    return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=equal_nan)


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_arrays(array):
    arrived = decode(encode(array))
    assert same_array(arrived, array)
    assert arrived.shape == array.shape
    assert arrived.flags.writeable
    assert arrived.flags.owndata
    assert arrived.flags.aligned
    assert arrived.flags.f_contiguous or not array.flags.f_contiguous
    assert arrived.flags.c_contiguous or not array.flags.c_contiguous


@pytest.mark.parametrize(
    "name", ["float64", "float32", "int8", "uint64", "bool_", "complex64", "str_", "bytes_"]
)
def test_numpy_scalars(name):
    value = getattr(np, name)(b"1" if name == "bytes_" else 1)
    arrived = decode(encode([value, {value: value}]))
    assert arrived == [value, {value: value}]
    assert type(arrived[0]) is type(value)
    assert type(decode(encode(np.datetime64("2024-02-29T01", "h")))) is np.datetime64


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.array([object()]),
            "a numpy array of dtype object holds Python objects and cannot travel; send a list",
        ),
        (np.zeros(2, "i4,f8"), "cannot travel; send one array for each field"),
        (np.ma.masked_array([1]), r"MaskedArray cannot travel; convert it with numpy.asarray\("),
        (pd.Series(pd.period_range("2024", periods=2, freq="D")), "a pandas series of dtype period"),
        (pd.DataFrame({"x": pd.arrays.SparseArray([1])}), "a pandas column 'x' of dtype Sparse"),
        (pd.DataFrame({"x": [object()]}), "a value of type object"),
        (pd.Categorical(["a"]), "Categorical cannot travel"),
    ],
)
def test_what_cannot_travel(value, message):
    with pytest.raises(CannotTravel, match=message):
        encode([value])


def test_an_array_larger_than_any_message_is_not_copied():
    with pytest.raises(TooLarge, match="a value of 8000000000 bytes"):
        encode(np.broadcast_to(np.float64(0), (1_000_000_000,)))


@pytest.mark.parametrize(
    "content",
    [
        ("|O", (1,), "C", b"\x00" * 8),
        ("<f8", (2,), "C", b"\x00" * 8),
        ("<f8", (1,), "C", b"\x00" * 16),
        ("<f8", (-1,), "C", b"\x00" * 8),
        ("<f8", (2**62, 2**62), "C", b""),
        ("<f8", (1,), "X", b"\x00" * 8),
        ("i4,i4", (1,), "C", b"\x00" * 8),
        ("nonsense", (1,), "C", b""),
        ("<f8", (1,), "C"),
    ],
)
def test_damaged_arrays(content):
    data = msgspec.msgpack.encode(content)
    with pytest.raises((ValueError, TypeError)):
        decode(bytes([0xC7, len(data), _codec.ARRAY]) + data)


ZONE = datetime.timezone(datetime.timedelta(hours=2))
INDEXES = [
    pd.RangeIndex(1, 9, 2, name="r"),
    pd.Index(["a", "b"], name="n"),
    pd.Index([1.5, 2.5]),
    pd.Index([]),
    pd.date_range("2024-02-28", periods=3, freq="D", tz="Europe/Paris", name="t"),
    pd.Index([(1, 2), 3]),
    pd.date_range("2024-02-28", periods=3, freq="2h"),
    pd.to_timedelta([1, 2], unit="h"),
    pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", None]),
    pd.CategoricalIndex(["a", "b", "a"]),
]
COLUMNS = [
    pd.Series([1, 2, 3], name="n"),
    pd.Series([1.5, np.nan]),
    pd.Series(["a", None, {"k": (1,)}], name=("a", 1)),
    pd.Series([True, False], index=["x", "y"]),
    pd.Series([], dtype="float32"),
    pd.Series([[1, 2], [3, 4]]),
    pd.Series([1, None], dtype="Int64"),
    pd.Series([True, None], dtype="boolean"),
    pd.Series([0.5], dtype="Float32"),
    pd.Series(["a", None], dtype="string"),
    pd.Series(["a", "b", None], dtype="category"),
    pd.Series(pd.Categorical([2, 1], categories=[2, 1, 3], ordered=True)),
    pd.Series([2**70, -1]),
    pd.Series(pd.to_datetime(["2024-02-29", None])),
    pd.Series([pd.Timestamp(2024, 1, 1, tzinfo=ZONE)]),
    pd.Series(pd.to_datetime(["2024-02-29T12:00:00.123456789Z", None])),
    pd.Series([pd.Timedelta(1, "h")]),
    pd.Series([datetime.date(2024, 1, 1), Decimal(1)]),
]


@pytest.mark.parametrize("index", INDEXES, ids=repr)
def test_indexes(index):
    arrived = decode(encode(index))
    pd.testing.assert_index_equal(arrived, index, exact=True)
    assert getattr(arrived, "freq", None) == getattr(index, "freq", None)
    assert decode(encode(pd.Series(range(len(index)), index=index))).index.equals(index)


@pytest.mark.parametrize("series", COLUMNS, ids=lambda series: f"{series.dtype}-{len(series)}")
def test_series(series):
    pd.testing.assert_series_equal(decode(encode(series)), series)


FRAMES = [
    pd.DataFrame(),
    pd.DataFrame(index=pd.Index(["a", "b"])),
    pd.DataFrame(columns=["a"]),
    pd.DataFrame({str(at): column for at, column in enumerate(COLUMNS)}),
    pd.DataFrame(np.arange(12).reshape(3, 4), columns=["x", "x", "y", 1]),
    pd.DataFrame(np.ones((4, 4)), index=INDEXES[-2], columns=INDEXES[-2]),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: str(frame.shape))
def test_frames(frame):
    arrived = decode(encode(frame))
    pd.testing.assert_frame_equal(arrived, frame)
    if len(frame.columns):
        arrived.iloc[:0, 0] = 1
        arrived["new"] = 1


MOMENTS = [
    pd.Timestamp(2024, 1, 1, 1),
    pd.Timestamp("2024-02-29T12:00:00.123456789", tz="Europe/Paris"),
    pd.Timedelta(1, "ns"),
    pd.NaT,
    pd.NA,
]


@pytest.mark.parametrize("moment", MOMENTS, ids=repr)
def test_moments(moment):
    arrived = decode(encode([moment]))[0]
    assert type(arrived) is type(moment)
    assert repr(arrived) == repr(moment)


def test_the_ident_is_of_the_content():
    (_, one), (_, other) = (
        encode_arguments((np.arange(3) * by, {"a": 1, "b": Item("x")}), {}) for by in (1, 2)
    )
    assert one != other
    again = encode_arguments((np.arange(3), {"b": Item("x"), "a": 1}), {})[1]
    assert again == one


def takes(
    order: Order, array: np.ndarray, exact: np.typing.NDArray[np.float32], frame: pd.DataFrame, item: Item
):
    return order


def test_annotations_make_them_of_plain_data():
    plain = [
        {"by": {"name": "Ann"}, "items": []},
        [[1, 2]],
        [1],
        [{"x": 1}, {"x": 2}],
        {"name": "a", "labels": ["t"]},
    ]
    args, _ = argument_decoder(takes)(encode([plain, {}]))
    assert args[0] == Order(by=Customer(name="Ann"), items=[])
    assert same_array(args[1], np.array([[1, 2]]))
    assert same_array(args[2], np.array([1], np.float32))
    pd.testing.assert_frame_equal(args[3], pd.DataFrame({"x": [1, 2]}))
    assert args[4] == Item("a", tags={"t"})
    assert argument_decoder(takes)(encode([args, {}]))[0][0] == args[0]


def test_what_a_model_refuses_is_heard():
    with pytest.raises(pydantic.ValidationError, match="1 validation error for Order"):
        argument_decoder(takes)(encode([[{"by": {}, "items": []}], {}]))


@pytest.mark.parametrize("library", ["numpy", "pandas"])
def test_without_the_library(library):
    value = np.zeros(2) if library == "numpy" else pd.Series([1])
    program = f"from msx import _codec; _codec.decode(bytes.fromhex({encode(value).hex()!r}))"
    if library == "pandas":
        program = f"import numpy; {program}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "is not imported here: import it in this module" in ended.stderr


def test_nothing_imports_them():
    program = "import sys, msx, msx._main, msx._codec as c; c.encode([1, (2,)]); c.decode(c.encode({3})); "
    program += "print([name for name in ('numpy', 'pandas', 'pydantic') if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
