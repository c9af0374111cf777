"""The Avro encoder's inner loops: rows of Arrow buffers -> Avro binary, then into any row order.

Compiled once for all schemas: a column is a row of numbers (a node) that says what kind of cell it holds and
where its Arrow buffers are. The loop writes each cell straight from those buffers. Addresses stand in for
arrays because the number and the types of the columns are known only at run time; `avro.py` owns the
buffers, sizes the output so that no write can pass its end, and is the only caller.

Encoding: Avro 1.11 specification, "Binary Encoding". Layout: Arrow columnar format 1.5.
"""

from __future__ import annotations

import os
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# What a cell is. The kinds below LIST are scalar.
LONG, INT, DOUBLE, BOOL, BYTES, DECIMAL, DATETIME, RAW, LIST, STRUCT = range(10)

# The columns of a node: one row of int64 per Arrow array, children after their parent and in a row.
KIND, NULLABLE, VALIDITY, OFFSETS, DATA, START, WIDTH, CHILD, CHILDREN, COLUMNS = range(10)

NULL_IN_REQUIRED = -1

# Compiled code is kept beside this file where that can be written; elsewhere each process compiles for some seconds.
CACHE = os.access(os.path.dirname(__file__), os.W_OK)


def _reader(bits: int, numba_type: Any) -> Any:
    @intrinsic  # type: ignore[misc]
    def load(_context: Any, address: Any) -> Any:
        def build(_codegen: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
            value = builder.load(pointer)
            value.align = 1  # an emulator's buffers need not be aligned
            return value

        return numba_type(types.int64), build

    return load


_load_u8 = _reader(8, types.uint8)
_load_i32 = _reader(32, types.int32)
_load_i64 = _reader(64, types.int64)


@intrinsic  # type: ignore[misc]
def _store_u8(_context: Any, address: Any, value: Any) -> Any:
    def build(_codegen: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        byte = builder.trunc(arguments[1], ir.IntType(8))
        builder.store(byte, pointer, align=1)

    return types.void(types.int64, types.int64), build


@intrinsic  # type: ignore[misc]
def _store_i64(_context: Any, address: Any, value: Any) -> Any:
    def build(_codegen: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        builder.store(arguments[1], pointer, align=1)

    return types.void(types.int64, types.int64), build


@numba.njit(nogil=True, inline="always")
def _put_long(out: int, value: int) -> int:
    """Zigzag varint, 1 to 10 bytes."""
    rest = np.uint64((value << 1) ^ (value >> 63))
    while rest >= np.uint64(0x80):
        _store_u8(out, np.int64((rest & np.uint64(0x7F)) | np.uint64(0x80)))
        out += 1
        rest >>= np.uint64(7)
    _store_u8(out, np.int64(rest))
    return out + 1


@numba.njit(nogil=True, inline="always")
def _put_copy(out: int, source: int, length: int) -> int:
    """Copy `length` bytes, eight at a time while they last."""
    index = 0
    while index + 8 <= length:
        _store_i64(out + index, _load_i64(source + index))
        index += 8
    while index < length:
        _store_u8(out + index, np.int64(_load_u8(source + index)))
        index += 1
    return out + length


@numba.njit(nogil=True)
def _put_decimal(out: int, source: int, width: int) -> int:
    """Little-endian two's complement of `width` bytes -> Avro bytes, big-endian, as short as the sign allows."""
    last = width - 1
    sign = np.int64(0xFF) if _load_u8(source + last) & 0x80 else np.int64(0)
    while last > 0 and _load_u8(source + last) == sign and (_load_u8(source + last - 1) ^ sign) & 0x80 == 0:
        last -= 1
    out = _put_long(out, last + 1)
    while last >= 0:
        _store_u8(out, np.int64(_load_u8(source + last)))
        out += 1
        last -= 1
    return out


@numba.njit(nogil=True, inline="always")
def _put_digits(out: int, value: int, digits: int) -> int:
    for place in range(digits):
        _store_u8(out + digits - 1 - place, 48 + value % 10)
        value //= 10
    return out + digits


@numba.njit(nogil=True)
def _put_datetime(out: int, micros: int) -> int:
    """Microseconds since 1970 -> Avro string `YYYY-MM-DDTHH:MM:SS[.ffffff]`, the proleptic Gregorian calendar.

    Days to a civil date by Howard Hinnant's `civil_from_days` (public domain).
    """
    days, fraction = micros // 86_400_000_000, micros % 86_400_000_000
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * of_year + 2) // 153
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    seconds, micro = fraction // 1_000_000, fraction % 1_000_000
    out = _put_long(out, 26 if micro else 19)
    out = _put_digits(out, year_of_era + era * 400 + (1 if month <= 2 else 0), 4)
    _store_u8(out, 45)
    out = _put_digits(out + 1, month, 2)
    _store_u8(out, 45)
    out = _put_digits(out + 1, of_year - (153 * shifted_month + 2) // 5 + 1, 2)
    _store_u8(out, 84)
    out = _put_digits(out + 1, seconds // 3600, 2)
    _store_u8(out, 58)
    out = _put_digits(out + 1, seconds // 60 % 60, 2)
    _store_u8(out, 58)
    out = _put_digits(out + 1, seconds % 60, 2)
    if micro:
        _store_u8(out, 46)
        out = _put_digits(out + 1, micro, 6)
    return out


@numba.njit(nogil=True, inline="always")
def _put_scalar(out: int, node: Any, index: int) -> int:
    """One non-null scalar; `index` already counts from the start of the buffers."""
    kind = node[KIND]
    if kind == LONG:
        return _put_long(out, _load_i64(node[DATA] + 8 * index))
    if kind == BYTES:
        begin = np.int64(_load_i32(node[OFFSETS] + 4 * index))
        length = np.int64(_load_i32(node[OFFSETS] + 4 * index + 4)) - begin
        return _put_copy(_put_long(out, length), node[DATA] + begin, length)
    if kind == DOUBLE:
        _store_i64(out, _load_i64(node[DATA] + 8 * index))
        return out + 8
    if kind == BOOL:
        _store_u8(out, (np.int64(_load_u8(node[DATA] + (index >> 3))) >> (index & 7)) & 1)
        return out + 1
    if kind == DECIMAL:
        return _put_decimal(out, node[DATA] + node[WIDTH] * index, node[WIDTH])
    if kind == INT:
        return _put_long(out, np.int64(_load_i32(node[DATA] + 4 * index)))
    if kind == DATETIME:
        return _put_datetime(out, _load_i64(node[DATA] + 8 * index))
    begin = np.int64(_load_i32(node[OFFSETS] + 4 * index))  # RAW: a cell somebody else encoded, union branch and all
    return _put_copy(out, node[DATA] + begin, np.int64(_load_i32(node[OFFSETS] + 4 * index + 4)) - begin)


@numba.njit(nogil=True, inline="always")
def _is_null(node: Any, index: int) -> bool:
    validity = node[VALIDITY]
    return validity != 0 and (np.int64(_load_u8(validity + (index >> 3))) >> (index & 7)) & 1 == 0


@numba.njit("int64(int64, int64[:, ::1], int64, int64)", nogil=True, cache=CACHE)
def _put_nested(out: int, nodes: Any, at: int, row: int) -> int:
    """One cell of any kind, null or not; answers NULL_IN_REQUIRED where a null has no place."""
    node = nodes[at]
    index = row + node[START]
    if _is_null(node, index):
        if node[KIND] != LIST and not node[NULLABLE]:  # BigQuery has no null array: it is the empty one
            return NULL_IN_REQUIRED
        _store_u8(out, 0)
        return out + 1
    if node[NULLABLE]:
        _store_u8(out, 2)
        out += 1
    if node[KIND] == STRUCT:
        for child in range(node[CHILD], node[CHILD] + node[CHILDREN]):
            out = _put_nested(out, nodes, child, row)
            if out < 0:
                return out
        return out
    if node[KIND] == LIST:
        begin = np.int64(_load_i32(node[OFFSETS] + 4 * index))
        end = np.int64(_load_i32(node[OFFSETS] + 4 * index + 4))
        if end > begin:
            out = _put_long(out, end - begin)
            for item in range(begin, end):
                out = _put_nested(out, nodes, node[CHILD], item)
                if out < 0:
                    return out
        _store_u8(out, 0)
        return out + 1
    return _put_scalar(out, node, index)


@numba.njit("int64(int64[:, ::1], int64, int64[::1], int64)", nogil=True, cache=CACHE)
def encode_rows(nodes: Any, columns: int, positions: Any, out: int) -> int:
    """Write all rows, as they lie in the buffers, at address `out`; answers 0.

    Row i becomes the bytes from `out + positions[i]` to `out + positions[i + 1]`. Answers NULL_IN_REQUIRED - column
    for a null in a column that has no place for one.
    """
    position = out
    positions[0] = 0
    for row in range(len(positions) - 1):
        for column in range(columns):
            node = nodes[column]
            if node[KIND] >= LIST:
                position = _put_nested(position, nodes, column, row)
                if position < 0:
                    return NULL_IN_REQUIRED - column
                continue
            index = row + node[START]
            if node[NULLABLE]:
                if _is_null(node, index):
                    _store_u8(position, 0)
                    position += 1
                    continue
                _store_u8(position, 2)
                position += 1
            elif _is_null(node, index):
                return NULL_IN_REQUIRED - column
            position = _put_scalar(position, node, index)
        positions[row + 1] = position - out
    return 0


@numba.njit("int64(int64, int64[::1], int64[::1], int64[::1], int64, int64, int64[:, ::1])", nogil=True, cache=CACHE)
def gather_rows(source: int, positions: Any, order: Any, bounds: Any, block_bytes: int, out: int, blocks: Any) -> int:
    """Bring encoded rows into the order `order` at address `out`, cut into blocks; answers the number of blocks.

    `bounds` holds where in `order` each group of rows begins, and its end. A block ends with its group, or at
    the first row past `block_bytes`. `blocks[i]` becomes (group, rows, begin, end) with byte positions from `out`.
    To encode first and order afterwards costs one copy of a row; to encode in order, a cache miss for each cell.
    """
    count = 0
    position = out
    for group in range(len(bounds) - 1):
        begin, first = position, bounds[group]
        for at in range(bounds[group], bounds[group + 1]):
            row = order[at]
            position = _put_copy(position, source + positions[row], positions[row + 1] - positions[row])
            if position - begin >= block_bytes or at + 1 == bounds[group + 1]:
                blocks[count, 0], blocks[count, 1] = group, at + 1 - first
                blocks[count, 2], blocks[count, 3] = begin - out, position - out
                count += 1
                begin, first = position, at + 1
    return count


@numba.njit("int64(int64[::1], int64[::1], int64, int64[:, ::1])", nogil=True, cache=CACHE)
def cut_rows(positions: Any, bounds: Any, block_bytes: int, blocks: Any) -> int:
    """Cut rows that lie in their order already into blocks, as `gather_rows` does; no byte is moved."""
    count = 0
    for group in range(len(bounds) - 1):
        first = bounds[group]
        for row in range(bounds[group], bounds[group + 1]):
            if positions[row + 1] - positions[first] >= block_bytes or row + 1 == bounds[group + 1]:
                blocks[count, 0], blocks[count, 1] = group, row + 1 - first
                blocks[count, 2], blocks[count, 3] = positions[first], positions[row + 1]
                count += 1
                first = row + 1
    return count
