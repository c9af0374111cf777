"""The tables that files are loaded into, and the staging tables beside them."""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions

from wharf.connectors import bigquery
from wharf.connectors.retry import POLICY
from wharf.model.errors import UsageError
from wharf.model.loading.changes import Changes
from wharf.model.loading.settings import TableSpec
from wharf.model.loading.sql import quoted, sql_type
from wharf.model.schema import Field, TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

    from wharf.model.loading.options import LoadOptions

_TIMEOUT = 60.0  # seconds for one answer
_STAGING_LIFE = dt.timedelta(days=1)


@dataclass(frozen=True)
class Target:
    """A table as it is. `partition_column` is empty for one that has none of its columns for that."""

    fields: tuple[Field, ...]
    partition_column: str
    granularity: str  # HOUR, DAY, MONTH or YEAR; empty where it is not partitioned by time

    def type_of(self, column: str) -> str:
        """The type of a column; empty if there is none of that name."""
        return next((field.type for field in self.fields if field.name.lower() == column.lower()), "")


class Tables:
    """Tables of one client; for any number of threads."""

    def __init__(self, client: Client, staging_dataset: str, *, emulated: bool) -> None:
        self._client = client
        self._emulated = emulated
        self._staging_dataset = staging_dataset
        self._locations: dict[str, str] = {}
        self._staging: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()

    def location(self, table: TableId) -> str:
        """Where the table's dataset is.

        Raises: UsageError if there is no such dataset.
        """
        name = f"{table.project}.{table.dataset}"
        with self._lock:
            if name not in self._locations:
                try:
                    with bigquery.translated(f"dataset {name}"):
                        found = self._client.get_dataset(name, retry=POLICY, timeout=_TIMEOUT)
                except UsageError as error:
                    if isinstance(error.__cause__, exceptions.NotFound):
                        raise UsageError(
                            f"dataset {name} does not exist: make it (bq mk {name}), or mend --prefix or "
                            "--destination_regex"
                        ) from error
                    raise
                self._locations[name] = found.location or "US"
            return self._locations[name]

    def staging(self, table: TableId, name: str) -> TableId:
        """A staging table for `table`, in a dataset whose tables expire, at the same location."""
        location = self.location(table)
        with self._lock:
            if (known := f"{table.project} {location}") not in self._staging:
                self._staging[known] = (table.project, self._make_staging(table.project, location))
            return TableId(*self._staging[known], name)

    def find(self, table: TableId) -> Target | None:
        """The table as it is; None if there is none."""
        try:
            found = self._client.get_table(str(table), retry=POLICY, timeout=_TIMEOUT)
        except exceptions.NotFound:
            return None
        by_time = found.time_partitioning
        fields = tuple(Field.from_api(field.to_api_repr()) for field in found.schema)
        return Target(fields, (by_time and by_time.field) or "", (by_time and by_time.type_) or "")

    def create(self, table: TableId, fields: Sequence[Field], spec: TableSpec, options: LoadOptions) -> None:
        """Make a table, partitioned and clustered; one that somebody else made meanwhile is fine."""
        resource = definition(table, fields, spec, options)
        with bigquery.translated(f"table {table}"):
            from google.cloud.bigquery import Table

            self._client.create_table(Table.from_api_repr(resource), exists_ok=True, retry=POLICY, timeout=_TIMEOUT)

    def change(self, table: TableId, changes: Changes) -> None:
        """Add columns, and let REQUIRED ones be NULL."""
        from google.cloud.bigquery import SchemaField

        with bigquery.translated(f"table {table}"):
            found = self._client.get_table(str(table), retry=POLICY, timeout=_TIMEOUT)
            resources = [field.to_api_repr() for field in found.schema]
            names = {resource["name"].lower() for resource in resources}
            # In one request: BigQuery allows five changes of a table in ten seconds.
            relaxed = [each | {"mode": "NULLABLE"} if each["name"] in changes.relaxed else each for each in resources]
            added = [field for field in changes.added if field.name.lower() not in names]
            resources = [*relaxed, *(field.to_api() for field in added)]
            found.schema = [SchemaField.from_api_repr(resource) for resource in resources]
            self._client.update_table(found, ["schema"], retry=POLICY, timeout=_TIMEOUT)
            if self._emulated:  # it has listed the columns now, and not made them
                for field in added:
                    alter = f"ADD COLUMN IF NOT EXISTS {quoted(field.name)} {sql_type(field)}"
                    bigquery.execute(self._client, f"ALTER TABLE `{table}` {alter}")
                for name in changes.relaxed:
                    bigquery.execute(self._client, f"ALTER TABLE `{table}` ALTER COLUMN {quoted(name)} DROP NOT NULL")

    def drop(self, tables: Iterable[TableId]) -> None:
        """Delete staging tables; what is left of them expires."""
        for table in tables:
            try:
                bigquery.drop(self._client, table)
            except exceptions.GoogleAPIError:
                pass  # it expires

    def _make_staging(self, project: str, location: str) -> str:
        from google.cloud.bigquery import Dataset

        suffix = re.sub(r"\W", "_", location.lower())
        name = self._staging_dataset or f"wharf_staging_{suffix}"
        made = Dataset(f"{project}.{name}")
        made.location = location
        made.default_table_expiration_ms = int(_STAGING_LIFE.total_seconds() * 1000)
        made.description = "Tables that Wharf loads files into first; they expire after a day"
        with bigquery.translated(f"staging dataset {project}.{name}"):
            try:
                found = self._client.get_dataset(made.reference, retry=POLICY, timeout=_TIMEOUT)
            except exceptions.NotFound:
                found = self._client.create_dataset(made, exists_ok=True, retry=POLICY, timeout=_TIMEOUT)
        if found.location and found.location.lower() != location.lower():
            raise UsageError(
                f"--staging_dataset: {project}.{name} is in {found.location}, and the table's dataset in {location}: "
                "name one there"
            )
        return name


def definition(table: TableId, fields: Sequence[Field], spec: TableSpec, options: LoadOptions) -> dict[str, Any]:
    """A new table as the REST API's `Table` resource.

    A column that holds the files' timestamp partitions the table and clusters it first; `load.json` goes before that.
    """
    has_timestamp = any(field.name == spec.timestamp_column for field in fields)
    partitioning: dict[str, Any] = {}
    if has_timestamp:
        partitioning = {"type": spec.granularity.upper(), "field": spec.timestamp_column}
    partitioning |= options.time_partitioning or {}
    if "type" not in partitioning:  # an expiration alone, of a table without a time
        partitioning = {}
    if partitioning and spec.expiration_days:
        partitioning.setdefault("expirationMs", str(spec.expiration_days * 86_400_000))
    clustering = list(dict.fromkeys([*([spec.timestamp_column] if has_timestamp else []), *spec.clustering]))
    if options.clustering:
        clustering = list(options.clustering)
    resource: dict[str, Any] = {
        "tableReference": {"projectId": table.project, "datasetId": table.dataset, "tableId": table.table},
        "schema": {"fields": [field.to_api() for field in fields]},
        "labels": dict(spec.labels),
    }
    if partitioning:
        resource["timePartitioning"] = partitioning
        if spec.require_filter:
            # The emulator knows it by its place of old, within the partitioning.
            resource["requirePartitionFilter"] = partitioning["requirePartitionFilter"] = True
    if clustering:
        resource["clustering"] = {"fields": clustering}
    return resource
