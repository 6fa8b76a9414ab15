"""pandas' frames, series, indexes and timestamps as values: by columns, each a numpy array or a list.

pandas is not imported here: a frame can only exist where it is imported already. Pickle is not used; a column
of a dtype that has no form here is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from msgspec.msgpack import Ext

from ._codec import COLUMN, FRAME, INDEX, MOMENT, SERIES, CannotTravel, Walk, pack

Rewrite = Callable[[Walk, Any, int], Ext]


def rewrite_of(kind: type) -> Rewrite | None:
    pandas: Any = sys.modules.get("pandas")
    if not hasattr(pandas, "DataFrame") or not kind.__module__.startswith("pandas"):
        return None
    exact: dict[type, Rewrite] = {
        pandas.DataFrame: _frame,
        pandas.Series: _series,
        pandas.Timestamp: _moment,
        pandas.Timedelta: _moment,
        type(pandas.NaT): lambda _walk, _value, _depth: Ext(MOMENT, pack(None)),
        type(pandas.NA): lambda _walk, _value, _depth: Ext(MOMENT, pack([])),
    }
    return _index if issubclass(kind, pandas.Index) else exact.get(kind)


def _pandas() -> Any:
    pandas = sys.modules.get("pandas")
    if pandas is None:
        raise TypeError("received a pandas value, but pandas is not imported here: import it in this module")
    return pandas


# --- to the wire ------------------------------------------------------------------------------------------


def _frame(walk: Walk, frame: Any, depth: int) -> Ext:
    columns = [_values(walk, column, f"column {name!r}", depth) for name, column in frame.items()]
    return Ext(FRAME, pack((walk(frame.columns, depth), walk(frame.index, depth), columns)))


def _series(walk: Walk, series: Any, depth: int) -> Ext:
    content = walk(series.name, depth), walk(series.index, depth), _values(walk, series, "series", depth)
    return Ext(SERIES, pack(content))


def _index(walk: Walk, index: Any, depth: int) -> Ext:
    """Names, and its parts: of a range, of a MultiIndex, or the values and their frequency."""
    pandas = _pandas()
    names = walk(list(index.names), depth)
    if isinstance(index, pandas.RangeIndex):
        return Ext(INDEX, pack(("range", names, (index.start, index.stop, index.step))))
    if isinstance(index, pandas.MultiIndex):
        levels = [walk(level, depth) for level in index.levels]
        codes = [walk(sys.modules["numpy"].asarray(code), depth) for code in index.codes]
        return Ext(INDEX, pack(("multi", names, (levels, codes))))
    freq = getattr(index, "freqstr", None)
    return Ext(INDEX, pack(("values", names, (_values(walk, index, "index", depth), freq))))


def _moment(walk: Walk, value: Any, depth: int) -> Ext:
    """Of one value: what a column of it would be."""
    return Ext(MOMENT, pack(_values(walk, _pandas().Index([value]), "timestamp", depth)))


def _values(walk: Walk, column: Any, what: str, depth: int) -> Any:
    pandas, dtype = _pandas(), column.dtype
    if dtype == "object":
        return walk(list(column), depth)
    if isinstance(dtype, sys.modules["numpy"].dtype):
        return walk(column.to_numpy(), depth)
    array = column.array
    parts: tuple[Any, Any]
    if isinstance(dtype, pandas.CategoricalDtype):
        parts = walk(array.codes, depth), (walk(array.categories, depth), array.ordered)
    elif isinstance(dtype, pandas.StringDtype):
        parts = array.to_numpy(object, na_value=None).tolist(), None
    elif isinstance(dtype, pandas.DatetimeTZDtype):
        parts = walk(array.tz_convert(None).to_numpy(), depth), None
    elif hasattr(dtype, "numpy_dtype") and hasattr(array, "_mask"):
        data = array.to_numpy(dtype.numpy_dtype, na_value=0)
        parts = walk(data, depth), walk(array.isna(), depth)
    else:
        raise CannotTravel(f"a pandas {what} of dtype {dtype} cannot travel; convert it with astype(…)")
    return Ext(COLUMN, pack((str(dtype), *parts)))


# --- from the wire ----------------------------------------------------------------------------------------


def to_column(content: Any) -> Any:
    pandas = _pandas()
    name, data, extra = content
    if name == "category":
        return pandas.Categorical.from_codes(data, categories=extra[0], ordered=extra[1])
    dtype = pandas.api.types.pandas_dtype(name)
    if isinstance(dtype, pandas.DatetimeTZDtype):
        return pandas.DatetimeIndex(data).tz_localize("UTC").tz_convert(dtype.tz).array
    if extra is not None:
        return dtype.construct_array_type()(data, extra)
    return pandas.array(data, dtype=dtype)


def to_index(content: Any) -> Any:
    pandas = _pandas()
    kind, names, parts = content
    if kind == "range":
        return pandas.RangeIndex(*parts, name=names[0])
    if kind == "multi":
        return pandas.MultiIndex(levels=parts[0], codes=parts[1], names=names)
    values, freq = parts
    index = pandas.Index(values, dtype=_dtype(values), name=names[0], tupleize_cols=False)
    if freq is not None:
        index.freq = freq
    return index


def to_series(content: Any) -> Any:
    name, index, values = content
    return _pandas().Series(values, index=index, name=name, dtype=_dtype(values))


def to_frame(content: Any) -> Any:
    pandas = _pandas()
    columns, index, given = content
    series = [pandas.Series(values, index=index, dtype=_dtype(values)) for values in given]
    frame = pandas.DataFrame(dict(enumerate(series)), index=index)
    frame.columns = columns
    return frame


def _dtype(values: Any) -> Any:
    """A list is a column of objects; pandas would guess."""
    return object if isinstance(values, list) else None


def to_moment(content: Any) -> Any:
    pandas = _pandas()
    if isinstance(content, list):
        return pandas.NA
    return pandas.NaT if content is None else pandas.Index(content)[0]


BUILDERS: dict[int, Callable[[Any], Any]] = {
    FRAME: to_frame,
    SERIES: to_series,
    INDEX: to_index,
    COLUMN: to_column,
    MOMENT: to_moment,
}
