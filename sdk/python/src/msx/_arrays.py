"""numpy's arrays and scalars as values: type, shape, order and bytes.

numpy is not imported here: an array can only exist where it is imported already. The bytes of an array are
copied once into the payload, and once out of it into an array that owns its memory and is writable.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from ._codec import ARRAY, SCALAR, CannotTravel, TooLarge, Walk, pack
from ._protocol import MESSAGE_BYTES_MAX

_KINDS = "biufcmMSU"  # of dtypes whose elements are bytes and nothing else


def rewrite_of(kind: type) -> Callable[[Walk, Any, int], Ext] | None:
    numpy: Any = sys.modules.get("numpy")
    if kind is getattr(numpy, "ndarray", None):
        return _array
    if hasattr(numpy, "generic") and issubclass(kind, numpy.generic):
        return _scalar
    if hasattr(numpy, "ndarray") and issubclass(kind, numpy.ndarray):
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise CannotTravel(f"a value of type {name} cannot travel; convert it with numpy.asarray(…)")
    return None


def _array(_walk: Walk, value: Any, _depth: int) -> Ext:
    return Ext(ARRAY, _content(value))


def _scalar(_walk: Walk, value: Any, _depth: int) -> Ext:
    return Ext(SCALAR, _content(sys.modules["numpy"].asarray(value)))


def _content(array: Any) -> bytes:
    _check(array.dtype)
    if array.nbytes > MESSAGE_BYTES_MAX:
        raise TooLarge(array.nbytes)
    numpy: Any = sys.modules["numpy"]
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    flat = (array.T if order == "F" else numpy.ascontiguousarray(array)).reshape(-1)
    data = memoryview(flat.view(numpy.uint8)) if flat.nbytes else b""
    return pack((array.dtype.str, array.shape, order, data))


def _check(dtype: Any) -> None:
    if dtype.hasobject:
        raise CannotTravel(
            f"a numpy array of dtype {dtype} holds Python objects and cannot travel; "
            "send a list, or convert it with astype(…)"
        )
    if dtype.kind not in _KINDS or sys.modules["numpy"].dtype(dtype.str) != dtype:
        raise CannotTravel(f"a numpy array of dtype {dtype} cannot travel; send one array for each field")


_read = msgspec.msgpack.Decoder(tuple[str, tuple[int, ...], str, memoryview]).decode


def to_array(content: memoryview) -> Any:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        raise TypeError("received a numpy array, but numpy is not imported here: import it in this module")
    name, shape, order, data = _read(content)
    dtype = numpy.dtype(name)
    if dtype.kind not in _KINDS or dtype.str != name or min(shape, default=0) < 0:
        raise ValueError(f"not a numpy array of msx: dtype {name}, shape {shape}")
    array = numpy.ndarray(shape, dtype, data, order=order)
    if array.nbytes != data.nbytes:
        raise ValueError(f"a numpy array of {array.nbytes} bytes came with {data.nbytes}")
    return array.copy("K")


def to_scalar(content: memoryview) -> Any:
    return to_array(content)[()]


RAW_BUILDERS: dict[int, Callable[[memoryview], Any]] = {ARRAY: to_array, SCALAR: to_scalar}


def from_plain(kind: Any, hint: Any, value: Any) -> Any:
    """Nested lists as what an annotation (`np.ndarray`, `NDArray[np.float32]`, `np.int64`) asks for."""
    numpy: Any = sys.modules["numpy"]
    if kind is not numpy.ndarray:
        return kind(value)
    wanted = [dtype for argument in typing.get_args(hint) for dtype in typing.get_args(argument)]
    dtypes = [dtype for dtype in wanted if isinstance(dtype, type) and issubclass(dtype, numpy.generic)]
    return numpy.asarray(value, dtype=dtypes[0] if dtypes else None)
