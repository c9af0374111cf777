"""What a run shows to people: its progress, its closing table, its plan. Values in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from wharf.model.fetching.unit import Fetch
from wharf.model.loading.batch import Batch, Refused
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


def loads_progress(counted_so_far: Mapping[str, int], seconds: float) -> str:
    """The same for a run that loads files."""
    if not counted_so_far:
        return f"{seconds:4.0f} s  running"
    parts = [
        f"{counted_so_far.get('batches_done', 0):,} of {counted_so_far.get('batches_found', 0):,} batches done",
        f"{counted_so_far.get('load_jobs', 0):,} load jobs",
    ]
    if undone := counted_so_far.get("batches_not_done", 0):
        parts.append(f"{undone:,} not loaded")
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


def loads_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Batches of files, a line each, errors below, and how many there are of each status.

    `300 in 3` are the rows of a load that three batches shared.
    """
    tables = [(row["destination_table"] or "?").partition(".")[2] or "?" for row in rows]
    widest = max(map(len, ["table", *tables]))
    names = (
        f"{'seen (UTC)':<17} {'status':<10} {'table':<{widest}} {'rows':>14} {'files':>6} {'size':>10} {'tries':>5} "
    )
    lines = [f"{names}{'took':>8}  directory"]
    for row, table in zip(rows, tables, strict=True):
        loaded, shared = row["loaded_rows"], row["loaded_batches"] or 1
        held = "" if loaded is None else f"{loaded:,}" + (f" in {shared:,}" if shared > 1 else "")
        end = row["completed_at"]
        took = f"{(end - row['claimed_at']).total_seconds():.0f} s" if end else ""
        lines.append(
            f"{row['discovered_at']:%Y-%m-%d %H:%M}  {row['status']:<10} {table:<{widest}} {held:>14} "
            f"{row['files']:>6,} {size(row['bytes']):>10} {row['attempts']:>5} {took:>8}  {row['directory']}"
        )
        if row["error_message"]:
            lines.append(f"{'':<18}{row['error_message']}")
    found = Counter(row["status"] for row in rows)
    lines.append(", ".join(f"{found[status]:,} {status}" for status in sorted(found)))
    return "\n".join(lines)


def fetch_progress(counted_so_far: Mapping[str, int], seconds: float) -> str:
    """The same for a run that asks an API."""
    if not counted_so_far:
        return f"{seconds:4.0f} s  running"
    parts = [f"{counted_so_far.get('pages', 0):,} pages", f"{counted_so_far.get('records', 0):,} records"]
    if done := counted_so_far.get("endpoints_success", 0):
        parts.append(f"{done:,} endpoints complete")
    if loaded := counted_so_far.get("records_loaded", 0):
        parts.append(f"{loaded:,} records loaded")
    return f"{seconds:4.0f} s  " + "  ".join(parts)


def fetches_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Endpoints of a run, a line each, errors and warnings below."""
    names = [row["endpoint"] + (f" of {row['tenant']}" if row["tenant"] else "") for row in rows]
    widest = max(map(len, ["endpoint", *names]))
    header = f"{'endpoint':<{widest}} {'status':<8} {'pages':>7} {'records':>11} {'requests':>8} {'retries':>7} "
    lines = [f"{header}{'waited':>7}  table"]
    for row, name in zip(rows, names, strict=True):
        numbers = (
            f"{row['pages'] or 0:>7,} {row['records'] or 0:>11,} {row['requests'] or 0:>8,} {row['retries'] or 0:>7,}"
        )
        waited = f"{row['throttled_seconds'] or 0:.0f} s"
        lines.append(f"{name:<{widest}} {row['status']:<8} {numbers} {waited:>7}  {row['table_name'] or ''}".rstrip())
        lines += [f"{'':<4}{text}" for text in (row["error_message"], row["warnings"]) if text]
    return "\n".join(lines)


def planned_fetch(fetch: Fetch) -> str:
    """What a run would do with an endpoint."""
    of_tenant = f" of {fetch.tenant}" if fetch.tenant else ""
    since = f"since {fetch.cursor}" if fetch.cursor else "everything"
    return f"{fetch.endpoint.name}{of_tenant}: {since} -> {fetch.run.folder}"


def planned_load(batch: Batch | Refused) -> str:
    """What a run would do with a batch."""
    if isinstance(batch, Refused):
        return f"cannot be loaded: {batch.error}"
    held = f"{counted(len(batch.files), 'file')}, {size(batch.bytes)}"
    return f"{batch.options.write_mode:<17} {batch.table}  {held}  {batch.directory}"


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
        f"rows        {sum(partitions.values()):,} in {counted(len(partitions), 'partition')}",
    ]
    if estimated_bytes is not None:
        lines.append(f"to be read  about {size(estimated_bytes)}")
    verb = {"overwrite": "replaced", "skip": "left alone", "fail": "in the way"}[write_mode]
    lines.append(f"existing    {counted(len(occupied), 'partition')} would be {verb} (--write_mode {write_mode})")
    if write_mode == "overwrite" and (emptied := sorted(occupied - partitions.keys())):
        lines.append(f"            {len(emptied):,} of them have no rows any more and would be removed")
    for path, rows in sorted(partitions.items())[:_SHOWN_PARTITIONS]:
        mark = f"  {verb}, has {existing[path]} now" if path in occupied else ""
        lines.append(f"  {path}  {counted(rows, 'row')}{mark}")
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
