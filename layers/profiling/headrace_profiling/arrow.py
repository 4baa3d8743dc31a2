"""Rows out of DuckDB as numpy arrays, a batch at a time and without pyarrow.

DuckDB hands a result over through the Arrow C stream interface
(https://arrow.apache.org/docs/format/CStreamInterface.html): three C structures, read here with
ctypes. The arrays are views of DuckDB's memory and live until the next batch is asked for.
"""

import ctypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from headrace_profiling.histogram import slices


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))),
    ("private_data", ctypes.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", ctypes.c_void_p),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.POINTER(_Stream))),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))),
    ("private_data", ctypes.c_void_p),
]
# What callers tell apart, by how DuckDB begins to speak of it.
_KINDS = {
    "Out of Memory": duckdb.OutOfMemoryException,
    "FATAL": duckdb.FatalException,
    "INTERNAL": duckdb.InternalException,
}
_NOT_ASCII = 0x80
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


@dataclass(frozen=True)
class Column:
    """One column of one batch: fixed-width values, or texts as offsets into their bytes."""

    length: int
    valid: npt.NDArray[np.bool_] | None  # None: no nulls
    buffers: tuple[int, ...]
    offset: int

    def values(self, type_: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return the values of a fixed-width column, nulls (any value) included."""
        return _view(self.buffers[1], type_, self.length, self.offset)

    def texts(self, rows: npt.NDArray[np.intp]) -> list[str]:
        """Return the texts of some rows."""
        bounds = _view(self.buffers[1], np.int32, self.length + 1, self.offset)
        ends = zip(bounds[rows].tolist(), bounds[rows + 1].tolist(), strict=True)
        raw = [ctypes.string_at(self.buffers[2] + start, end - start) for start, end in ends]
        return [text.decode("utf-8", errors="replace") for text in raw]

    def lengths(self, rows: npt.NDArray[np.intp] | slice) -> npt.NDArray[np.int64]:
        """Return the number of characters of some rows' texts."""
        bounds = _view(self.buffers[1], np.int32, self.length + 1, self.offset)
        octets = _view(self.buffers[2], np.uint8, int(bounds[-1]), 0)
        counts = np.diff(bounds).astype(np.int64)
        if octets[bounds[0] :].max(initial=0) < _NOT_ASCII:
            return counts[rows]
        for part in slices(self.length):
            edges = bounds[part.start : part.stop + 1]
            filled = np.flatnonzero(edges[1:] > edges[:-1])
            if len(filled):
                # In UTF-8 all bytes of a character but the first are 10xxxxxx.
                later = (octets[edges[0] : edges[-1]] & 0xC0) == 0x80
                counts[part.start + filled] -= np.add.reduceat(
                    later, edges[filled] - edges[0], dtype=np.int64
                )
        return counts[rows]


def batches(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[list[Column]]:
    """Run a query whose columns are numbers or texts; give its rows in batches.

    While one batch is looked at, a thread reads the next.

    Raises duckdb.Error with the engine's reason, also when a later batch fails.
    """
    relation = connection.sql(query)
    capsule = relation.__arrow_c_stream__()
    stream = ctypes.cast(_pointer(capsule, b"arrow_array_stream"), ctypes.POINTER(_Stream))
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(_next, stream)
        try:
            while (batch := coming.result()).release:
                coming = ahead.submit(_next, stream)
                try:
                    yield [_column(batch.children[i].contents) for i in range(batch.n_children)]
                finally:
                    batch.release(ctypes.byref(batch))
        finally:
            # Frees DuckDB's result, also when the reader stopped half way.
            if not coming.exception() and (batch := coming.result()).release:
                batch.release(ctypes.byref(batch))
            if stream.contents.release:
                stream.contents.release(stream)


def _next(stream: "ctypes._Pointer[_Stream]") -> _Array:
    """Return the next batch, one without `release` after the last."""
    batch = _Array()
    if stream.contents.get_next(stream, ctypes.byref(batch)) != 0:
        raise _error(stream.contents.get_last_error(stream) or b"the result ended early")
    return batch


def _error(said: bytes) -> duckdb.Error:
    """Return the exception that DuckDB would have raised; the stream has its text alone."""
    reason = said.decode("utf-8", errors="replace")
    kinds = (kind for words, kind in _KINDS.items() if reason.startswith(words))
    return next(kinds, duckdb.Error)(reason)


def _column(array: _Array) -> Column:
    buffers = tuple(array.buffers[i] or 0 for i in range(array.n_buffers))
    valid = None
    if array.null_count and buffers[0]:
        bits = _view(buffers[0], np.uint8, (array.offset + array.length + 7) // 8, 0)
        unpacked = np.unpackbits(bits, bitorder="little")[array.offset :][: array.length]
        valid = unpacked.view(np.bool_)
    return Column(array.length, valid, buffers, array.offset)


def _view(address: int, type_: npt.DTypeLike, length: int, offset: int) -> npt.NDArray[Any]:
    if not length or not address:
        return np.empty(0, type_)
    numbers = np.dtype(type_)
    raw = (ctypes.c_uint8 * (length * numbers.itemsize)).from_address(
        address + offset * numbers.itemsize
    )
    return np.ctypeslib.as_array(raw).view(numbers)
