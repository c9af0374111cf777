"""What bigquery_to_avro does before its graph runs: resolve the export, take the window, or only plan."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import dataclass
from typing import Any

import wharf
from wharf.connectors import bigquery, bigquery_read
from wharf.connectors.bigquery_read import ReadRequest
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.ledger import RunLedger
from wharf.connectors.output_tree import OutputTree, staged_runs
from wharf.connectors.storage import check_writable, open_storage
from wharf.formats.avro import AvroFormat
from wharf.model import ledger, report
from wharf.model.avro_export import AvroExport
from wharf.model.errors import UsageError
from wharf.model.layout import Layout, run_prefix
from wharf.model.partitions import partition_path
from wharf.model.schema import Field, TableId, fingerprint


@dataclass(frozen=True)
class Resolved:
    """An export with everything that BigQuery had to be asked for."""

    export: AvroExport
    endpoints: Endpoints
    layout: Layout
    source: bigquery.Source
    read: tuple[Field, ...]

    @property
    def date_type(self) -> str:
        return next(field.type for field in self.read if field.name == self.export.date_column)

    @property
    def restriction(self) -> str:
        return self.export.restriction(self.date_type)

    @property
    def table(self) -> TableId:
        """The table to read: the source, or what the query is materialised in."""
        if self.export.source_table:
            return self.export.source_table
        assert self.export.temp_dataset
        return TableId(*self.export.temp_dataset, f"wharf_{self.layout.export_id.replace('-', '_').replace('.', '_')}")

    @property
    def format(self) -> AvroFormat:
        return AvroFormat(
            name=self.export.export_name,
            fields=self.export.file_fields(self.source.schema),
            codec=self.export.codec,
            doc=f"Exported from {self.export.source_table or 'a query'}",
            metadata=(("wharf.version", wharf.__version__), ("wharf.export_id", self.layout.export_id)),
        )

    @property
    def ledger(self) -> RunLedger:
        return RunLedger(self.endpoints.bigquery_client(self.export.project), self.export.metadata_table)


def resolve(export: AvroExport, endpoints: Endpoints) -> Resolved:
    """Ask BigQuery for the schema, and check everything that can be wrong, before anything is written.

    Raises: UsageError.
    """
    with bigquery.translated("BigQuery"):
        client = endpoints.bigquery_client(export.project)
    if export.source_table:
        source = bigquery.describe_table(client, export.source_table)
    else:
        source = bigquery.describe_query(client, export.query, "--query")
    export_id = run_prefix(export.export_name, export.window) + uuid.uuid4().hex[:8]
    run = Resolved(export, endpoints, Layout(export.output, export_id), source, export.read_fields(source.schema))
    _ = run.format.schema  # names and types that Avro cannot hold
    sql = f"SELECT 1 FROM {export.sql_source} WHERE {run.restriction}"
    bigquery.describe_query(client, sql, "--row_restriction" if export.row_restriction else str(export.source_table))
    return run


def claim(run: Resolved, job_id: str, lease: dt.timedelta, *, force: bool) -> tuple[OutputTree, frozenset[str]]:
    """Take the window and clear away what dead runs left -> the output as it is, and partitions to leave alone.

    Raises: UsageError, RunInProgress.
    """
    export, layout = run.export, run.layout
    storage = open_storage(export.output, run.endpoints)
    OutputTree.scan(storage, export.output, export.window).check_borders()
    note = json.dumps({"export_id": layout.export_id, "window": str(export.window)}).encode()
    check_writable(export.output, run.endpoints, layout.note, note)
    try:
        for table, shape in ((export.metadata_table, ledger.RUNS), (export.files_table, ledger.FILES)):
            bigquery.ensure_table(run.ledger.client, table, shape, run.source.location)
        run.ledger.claim(_run_row(run, job_id), lease, force=force)
    except BaseException:
        storage.delete([layout.note])
        raise
    try:
        staged = staged_runs(storage, export.output)
        dead = staged.keys() - run.ledger.living(sorted(staged)) - {layout.export_id}
        tree = OutputTree.scan(storage, export.output, export.window)
        occupied = tree.occupied(storage, set(dead)) if export.write_mode != "overwrite" else set()
        if occupied and export.write_mode == "fail":
            raise UsageError(
                f"{export.output}/{min(occupied)} has files already, and so have {len(occupied) - 1} other partitions "
                "of the window: choose --write_mode overwrite or skip"
            )
        storage.delete([uri for export_id in dead for uri in staged[export_id]])
    except BaseException as error:
        storage.delete([layout.note])
        run.ledger.fail(layout.export_id, str(error) or type(error).__name__)
        raise
    return tree, frozenset(occupied)


def plan(run: Resolved) -> str:
    """What a run would do, as text; writes nothing.

    Raises: UsageError.
    """
    export, window = run.export, run.export.window
    storage = open_storage(export.output, run.endpoints)
    tree = OutputTree.scan(storage, export.output, window)
    tree.check_borders()
    estimated = None
    if export.source_table:
        request = ReadRequest(
            run.table, tuple(f.name for f in run.read), run.restriction, export.project, max_streams=1
        )
        estimated = bigquery_read.open_session(run.endpoints.read_client(), request).estimated_bytes
    day = f"DATE(`{export.date_column}`" + (f", '{window.time_zone}')" if run.date_type == "TIMESTAMP" else ")")
    counted = bigquery.rows(
        run.ledger.client,
        f"SELECT {day} AS day, CAST(`{export.vendor_column}` AS STRING) AS vendor, COUNT(*) AS n "
        f"FROM {export.sql_source} WHERE {run.restriction} GROUP BY 1, 2",
    )
    return report.plan(
        source=export.source,
        output=export.output,
        window=str(window),
        restriction=run.restriction,
        write_mode=export.write_mode,
        schema=run.format.fields,
        partitions={partition_path(row["day"], row["vendor"]): row["n"] for row in counted},
        estimated_bytes=estimated,
        existing={path: len(what.replaced) for path, what in tree.replacements().items()},
        occupied={path for path, what in tree.replacements().items() if what.replaced},
    )


def manifest(run: Resolved) -> dict[str, Any]:
    """What the run's manifest says besides its files and totals."""
    window = run.export.window
    return {
        "export_id": run.layout.export_id,
        "export_name": run.export.export_name,
        "source": run.export.source,
        "window": {"from": window.start.isoformat(), "to": window.end.isoformat(), "time_zone": window.time_zone},
        "schema_fingerprint": fingerprint(run.format.fields),
        "avro_schema": run.format.schema,
    }


def _run_row(run: Resolved, job_id: str) -> dict[str, Any]:
    export = run.export
    return {
        "export_id": run.layout.export_id,
        "export_name": export.export_name,
        "source_table": export.source,
        "destination_uri": export.output,
        "started_at": dt.datetime.now(dt.UTC),
        "window_from": export.window.first_instant,
        "window_to": export.window.last_instant,
        "time_zone": export.window.time_zone,
        "job_id": job_id,
        "settings": export.settings,
    }
