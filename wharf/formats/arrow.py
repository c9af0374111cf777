"""Arrow arrays made to look as the Storage Read API's documentation says they do."""

from __future__ import annotations

import pyarrow as pa


def canonical(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """`array` as type `wanted`; the same array where it is that already, as it is with BigQuery itself.

    Emulators and Parquet files come with other widths and scales, which are cast without loss.

    Raises: pyarrow.ArrowInvalid for a value that does not fit.
    """
    if array.type.equals(wanted):
        return array
    if isinstance(array.type, pa.BaseExtensionType):
        return canonical(array.storage, wanted)
    if pa.types.is_struct(wanted):
        children = [canonical(array.field(child.name), child.type) for child in wanted]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(children, fields=list(wanted), mask=mask)
    if pa.types.is_list(wanted):
        values = canonical(array.values, wanted.value_type)
        mask = array.is_null() if array.null_count else None
        offsets = pa.array(array.offsets.to_numpy())  # the same memory; a slice of offsets takes no mask
        return pa.ListArray.from_arrays(offsets, values, type=wanted, mask=mask)
    if pa.types.is_string(wanted) and pa.types.is_binary(array.type):
        return _well_known_text(array)
    return array.cast(wanted)


def _well_known_text(array: pa.Array) -> pa.Array:
    """GEOGRAPHY as WKB, the form an emulator sends, to the WKT that BigQuery sends."""
    import shapely

    return pa.array([None if cell is None else shapely.from_wkb(cell).wkt for cell in array.to_pylist()], pa.string())
