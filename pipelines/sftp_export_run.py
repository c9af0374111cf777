"""What bigquery_to_sftp does before its graph runs: resolve each export, take it, or only plan."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

from transforms.stage_delivery import Increment
from wharf.connectors import bigquery
from wharf.connectors.bigquery_read import ReadRequest
from wharf.connectors.deliveries import Deliveries
from wharf.formats.block import FileFormat
from wharf.formats.file_format import file_format
from wharf.model import selection, sftp_run
from wharf.model.config import SftpConfig
from wharf.model.manifest import Manifest
from wharf.model.report import counted, size
from wharf.model.schema import Field, TableId
from wharf.model.sftp_export import SftpExport, file_names
from wharf.model.windows import Window


@dataclass(frozen=True)
class Resolved:
    """One run of an export, with everything that BigQuery had to be asked for."""

    config_uri: str
    job_id: str
    export: SftpExport
    deliveries: Deliveries
    date: dt.date
    moment: dt.datetime
    export_id: str
    destination: str
    source: bigquery.Source
    table: TableId | None
    fields: tuple[Field, ...]
    format: FileFormat

    @property
    def window(self) -> Window | None:
        return sftp_run.window(self.export, self.date)

    @property
    def sql_source(self) -> str:
        """What is read, behind FROM."""
        # The query may end in a comment, which must not take the bracket with it.
        return f"`{self.table}`" if self.table else f"({self.export.sql(self.date)}\n)"

    @property
    def condition(self) -> str:
        return sftp_run.condition(self.export, self.window, self.source.schema)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def temporary(self) -> TableId:
        return sftp_run.temporary_table(self.export_id, self.deliveries.metadata)

    @property
    def is_direct(self) -> bool:
        """Whether the Storage Read API reads the source itself; else a query makes a table of the rows first."""
        return bool(self.table and self.source.is_stored and self.export.export_type != "incremental")

    @property
    def row(self) -> dict[str, Any]:
        """The run as it is first recorded."""
        window = self.window
        return {
            "export_id": self.export_id,
            "export_name": self.export.name,
            "source_table": self.export.source,
            "destination_uri": self.destination,
            "started_at": self.moment,
            "window_from": window.first_instant if window else None,
            "window_to": window.last_instant if window else None,
            "time_zone": self.export.time_zone,
            "job_id": self.job_id,
            "settings": sftp_run.settings(self.config_uri, self.export),
        }

    @property
    def draft(self) -> Manifest:
        """The manifest, as far as it is known before the rows are."""
        return Manifest(
            export_id=self.export_id,
            export_name=self.export.name,
            source=self.export.source,
            destination=self.destination,
            date=self.date,
            window_from=self.row["window_from"],
            window_to=self.row["window_to"],
            started_at=self.moment,
            expires_at=self.moment + dt.timedelta(days=self.export.expiration_days),
            files=(),
        )


@dataclass(frozen=True)
class Ready:
    """A run that is taken and can be read."""

    run: Resolved
    request: ReadRequest
    query: str  # materialised into the request's table first; empty: the table is read as it is
    increment: Increment | None
    draft: Manifest
    again: bool = False  # whether an earlier run of the same rows may have sent some


@dataclass(frozen=True)
class Unfinished:
    """An earlier run that is taken again, to send what it had staged."""

    manifest: Manifest


@dataclass(frozen=True)
class Done:
    """There is nothing to do, and why."""

    reason: str


def resolve(
    config: SftpConfig, deliveries: Deliveries, export: SftpExport, date: dt.date, moment: dt.datetime, job_id: str
) -> Resolved:
    """Ask BigQuery for the schema, and check everything that can be wrong, before anything is written.

    Raises: UsageError.
    """
    client, project = deliveries.client, deliveries.project
    what = f"export {export.name}"
    table = None
    if export.source_table:
        table = TableId.parse(export.source_table, flag=f"{what}: source_table", project=project)
        source = bigquery.describe_table(client, table, views=True)
    else:
        source = bigquery.describe_query(client, export.sql(date), f"{what}: query")
    fields = sftp_run.exported_fields(export, source.schema)
    file_names(export, moment, date, "run", 1)
    run = Resolved(
        config_uri=config.uri,
        job_id=job_id,
        export=export,
        deliveries=deliveries,
        date=date,
        moment=moment,
        export_id=sftp_run.new_export_id(export, date, uuid.uuid4().hex[:8]),
        destination=f"{config.sftp}/{config.sftp.directory.strip('/')}".rstrip("/"),
        source=source,
        table=table,
        fields=fields,
        format=file_format(
            export.format,
            fields,
            export_name=export.name,
            delimiter=export.delimiter,
            header=export.header,
            quoting=export.quoting,
            null_marker=export.null_marker,
            compress=export.compress,
            max_rows=export.max_rows_per_file,
            block_bytes=_block_bytes(export),
        ),
    )
    bigquery.describe_query(client, selection.select(run.sql_source, run.columns, run.condition), what)
    return run


def _block_bytes(export: SftpExport) -> int:
    """Blocks well below a file's size, so that files come close to it."""
    return min(1 << 20, max(export.max_bytes_per_file // 8, 1 << 10)) if export.max_bytes_per_file else 1 << 20


def take(run: Resolved, lease: dt.timedelta, *, force: bool) -> Ready | Unfinished | Done:
    """Take the export: nobody else runs it now. What an earlier run left unfinished goes first.

    `force` begins anew what was left unfinished, but for an increment: that may have arrived in part, and would be
    sent a second time under other names. It is begun anew only if its staged files are gone.

    Raises: UsageError, RunInProgress.
    """
    deliveries, name = run.deliveries, run.export.name
    deliveries.ensure_tables(run.source.location)
    unfinished = [left for left in deliveries.unfinished(name) if _is_of(left, run)]
    if force:
        unfinished = [left for left in unfinished if run.window is None and deliveries.is_staged(left)]
    if unfinished:
        deliveries.take_again(unfinished[0], lease, run.job_id, force=force)
        return Unfinished(unfinished[0])
    if not force and (done := _done(run)):
        return done
    deliveries.ledger.claim(run.row, lease, force=force)
    if not force and (done := _done(run)):  # by a run that ended between the two
        deliveries.ledger.withdraw(run.export_id)
        return done
    try:
        given_up = [left for left in deliveries.unfinished(name) if _is_of(left, run)] if force else []
        for left in given_up:  # its rows are exported anew, and must not be sent by it as well
            deliveries.discard(name, left.export_id)
        deliveries.sweep(name, run.moment)
        return dataclasses.replace(_ready(run), again=bool(given_up))
    except BaseException as error:
        deliveries.ledger.fail(run.export_id, str(error) or type(error).__name__)
        raise


def _done(run: Resolved) -> Done | None:
    window = run.window
    done = window and run.deliveries.done(run.export.name, window.first_instant, window.last_instant)
    if not done:
        return None
    at, rows = f"{done['completed_at']:%Y-%m-%d %H:%M} UTC", f"{done['rows_exported'] or 0:,} rows"
    return Done(f"{run.export.name}: run {done['export_id']} delivered {run.date} at {at}, {rows}; --force repeats it")


def _is_of(left: Manifest, run: Resolved) -> bool:
    """Whether an unfinished delivery stands before this run: of its window, or any of an incremental export."""
    window = run.window
    return window is None or (left.window_from, left.window_to) == (window.first_instant, window.last_instant)


def _ready(run: Resolved) -> Ready:
    project, columns = run.deliveries.project, run.columns
    if run.is_direct:
        assert run.table
        return Ready(run, ReadRequest(run.table, columns, run.condition, project), "", None, run.draft)
    request = ReadRequest(run.temporary, columns, "", project)
    if run.export.export_type != "incremental":
        return Ready(run, request, selection.select(run.sql_source, columns, run.condition), None, run.draft)
    increment = _increment(run)
    column = run.export.timestamp_column
    sql = selection.increment(run.sql_source, columns, column, run.condition, increment.before, increment.tied)
    before = increment.before.text if increment.before else None
    return Ready(run, request, sql, increment, dataclasses.replace(run.draft, watermark_before=before))


def _increment(run: Resolved) -> Increment:
    type_ = next(field.type for field in run.source.schema if field.name == run.export.timestamp_column)
    before, left_by = run.deliveries.watermark(run.export.name, type_)
    tied = run.deliveries.tied(left_by, [field.name for field in run.source.schema]) if before else None
    return Increment(run.temporary, type_, run.columns, before, tied)


def plan(run: Resolved) -> str:
    """What a run would do, as text; writes nothing.

    Raises: UsageError.
    """
    export, deliveries = run.export, run.deliveries
    lines = [
        f"export       {export.name} ({export.export_type})",
        f"source       {export.source}",
        f"destination  {run.destination}",
        f"columns      {', '.join(f'{field.name} {field.type}' for field in run.fields)}",
    ]
    if run.window:
        lines.append(f"window       {run.window}")
    condition, column = run.condition, export.timestamp_column
    if export.export_type == "incremental":
        before = None
        if bigquery.exists(deliveries.client, deliveries.metadata):
            before = _increment(run).before
        lines.append(f"watermark    {before.text if before else 'none: every row with a value'}")
        nulls = bigquery.rows(deliveries.client, selection.count(run.sql_source, f"`{column}` IS NULL", condition))[0][
            "n"
        ]
        if nulls:
            lines.append(f"             {counted(nulls, 'row')} without a value in {column}: never exported")
        above = f"`{column}` > {before.literal}" if before else f"`{column}` IS NOT NULL"
        condition = f"{above} AND ({condition})" if condition else above
    rows = bigquery.rows(deliveries.client, selection.count(run.sql_source, condition))[0]["n"]
    split = f", at most {export.max_rows_per_file:,} rows each" if export.max_rows_per_file else ""
    split += f", at most {size(export.max_bytes_per_file)} each" if export.max_bytes_per_file else ""
    lines.append(f"rows         {rows:,}")
    lines.append(f"files        {file_names(export, run.moment, run.date, run.export_id, 1)[0]}{split}")
    return "\n".join([*lines, "nothing was written"])
