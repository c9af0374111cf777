"""What a run shows to people: its progress, its closing table, its plan. Values in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wharf.model.schema import Field

_SHOWN_PARTITIONS = 40


def progress_line(counted_so_far: Mapping[str, int], seconds: float) -> str:
    """`counted_so_far`: this process's counters, empty while others do the work; `seconds` since the run began."""
    if not counted_so_far:
        return f"{seconds:4.0f} s  running"
    rows, files = counted_so_far.get("rows_encoded", 0), counted_so_far.get("files_written", 0)
    parts = [
        f"{rows:,} rows",
        f"{rows / max(seconds, 0.001):,.0f} rows/s",
        size(counted_so_far.get("bytes_spilled", 0)),
    ]
    if files:
        parts.append(counted(files, "file"))
    if delivered := counted_so_far.get("files_delivered", 0):
        parts.append(f"{delivered:,} on the server, {size(counted_so_far.get('bytes_delivered', 0))}")
    if published := counted_so_far.get("partitions_published", 0):
        parts.append(f"{published:,} partitions published")
    return f"{seconds:4.0f} s  " + "  ".join(parts)


def closing_table(row: Mapping[str, Any], *, skipped: int) -> str:
    """The run's row of the ledger, as a table for a terminal."""
    seconds = (row["completed_at"] - row["started_at"]).total_seconds()
    lines = {
        "export": row["export_id"],
        "status": row["status"],
        "source": row["source_table"],
        "output": row["destination_uri"],
        "rows": f"{row['rows_exported']:,}",
        "partitions": f"{row['partitions']:,}" + (f" written, {skipped:,} skipped" if skipped else ""),
        "files": f"{row['files']:,}, {size(row['bytes_exported'])}",
        "duration": f"{seconds:.1f} s, {row['rows_exported'] / max(seconds, 0.001):,.0f} rows/s",
    }
    return "\n".join(f"{name:<11} {value}" for name, value in lines.items())


def delivery_table(row: Mapping[str, Any]) -> str:
    """The run of a delivery as the ledger has it, for a terminal."""
    seconds = (row["completed_at"] - row["started_at"]).total_seconds() if row["completed_at"] else 0
    lines = {
        "export": row["export_id"],
        "status": row["status"],
        "source": " ".join((row["source_table"] or "").split()),
        "destination": row["destination_uri"],
        "rows": f"{row['rows_exported'] or 0:,}",
        "files": f"{row['files'] or 0:,}, {size(row['bytes_exported'] or 0)}  {row['file_name'] or ''}".rstrip(),
        "watermark": row["last_exported_value"],
        "duration": f"{seconds:.1f} s",
        "not told": row["notification_error"],
    }
    return "\n".join(f"{name:<12} {value}" for name, value in lines.items() if value)


def history_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Runs, a line each, errors below."""
    lines = [
        f"{'started (UTC)':<17} {'export':<28} {'status':<8} {'rows':>12} {'files':>6} {'size':>10} {'took':>8}  run"
    ]
    for row in rows:
        end = row.get("completed_at")
        took = f"{(end - row['started_at']).total_seconds():.0f} s" if end else ""
        began = f"{row['started_at']:%Y-%m-%d %H:%M}"
        numbers = [row.get("rows_exported"), row.get("files")]
        counts = ["" if number is None else f"{number:,}" for number in numbers]
        held = "" if row.get("bytes_exported") is None else size(row["bytes_exported"])
        lines.append(
            f"{began:<17} {row['export_name'] or '':<28} {row['status'] or '':<8} {counts[0]:>12} {counts[1]:>6} "
            f"{held:>10} {took:>8}  {row.get('export_id') or ''}".rstrip()
        )
        if row.get("error_message"):
            lines.append(f"{'':<18}{row['error_message']}")
    return "\n".join(lines)


def plan(
    *,
    source: str,
    output: str,
    window: str,
    restriction: str,
    write_mode: str,
    schema: Sequence[Field],
    partitions: Mapping[str, int],
    estimated_bytes: int | None,
    existing: Mapping[str, int],
    occupied: set[str],
) -> str:
    """What a run would do. `partitions`: rows by path; `existing`: files of the window by path."""
    lines = [
        f"source      {source}",
        f"output      {output}",
        f"window      {window}",
        f"where       {restriction}",
        f"columns     {', '.join(_column(field) for field in schema)}",
        f"rows        {sum(partitions.values()):,} in {len(partitions):,} partitions",
    ]
    if estimated_bytes is not None:
        lines.append(f"to be read  about {size(estimated_bytes)}")
    verb = {"overwrite": "replaced", "skip": "left alone", "fail": "in the way"}[write_mode]
    lines.append(f"existing    {len(occupied):,} partitions would be {verb} (--write_mode {write_mode})")
    if write_mode == "overwrite" and (emptied := sorted(occupied - partitions.keys())):
        lines.append(f"            {len(emptied):,} of them have no rows any more and would be removed")
    for path, rows in sorted(partitions.items())[:_SHOWN_PARTITIONS]:
        mark = f"  {verb}, has {existing[path]} now" if path in occupied else ""
        lines.append(f"  {path}  {rows:,} rows{mark}")
    if len(partitions) > _SHOWN_PARTITIONS:
        lines.append(f"  and {len(partitions) - _SHOWN_PARTITIONS:,} more")
    return "\n".join([*lines, "nothing was written"])


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """Bytes in the unit that reads best."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _column(field: Field) -> str:
    type_ = f"ARRAY<{field.type}>" if field.mode == "REPEATED" else field.type
    return f"{field.name} {type_}{' NOT NULL' if field.mode == 'REQUIRED' else ''}"
