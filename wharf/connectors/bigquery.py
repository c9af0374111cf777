"""BigQuery's REST API: tables, queries and rows of metadata.

The one boundary where its errors become Wharf's. What a person must mend (names, permissions, SQL, credentials)
is a UsageError; everything else stays what it is and is retried or fails the run.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from wharf.connectors.retry import MERGE_POLICY, POLICY
from wharf.model.errors import RunFailed, UsageError
from wharf.model.ledger import LedgerTable
from wharf.model.schema import Field, TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client, QueryJobConfig

_SHORTEST_TIMEOUT = 60.0  # seconds for one answer of the API; queries are polled
_BYTES_PER_MERGE = 4_000_000  # a request may have 10 MB


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn BigQuery's refusals into one line that names `what` and the remedy.

    Raises: UsageError.
    """
    try:
        yield
    except exceptions.NotFound as error:
        raise UsageError(f"{what}: not found; is the name right, and the project? ({_reason(error)})") from error
    except exceptions.Forbidden as error:
        raise UsageError(f"{what}: no permission ({_reason(error)})") from error
    except (exceptions.Unauthorized, GoogleAuthError) as error:
        raise UsageError(
            f"{what}: credentials are missing or refused ({_reason(error)}); "
            "run gcloud auth application-default login, or mend GOOGLE_APPLICATION_CREDENTIALS"
        ) from error
    except exceptions.BadRequest as error:
        raise UsageError(f"{what}: BigQuery refuses it: {_reason(error)}") from error
    except exceptions.RetryError as error:
        raise RunFailed(f"{what}: BigQuery gives no answer: {_reason(error)}") from error


class Source(NamedTuple):
    """What can be read, and where it is."""

    schema: tuple[Field, ...]
    location: str | None
    is_stored: bool = True  # the Storage Read API can read it; a view or an external table must be queried


def describe_table(client: Client, table: TableId, *, views: bool = False) -> Source:
    """The schema of a table that the Storage Read API can read, or with `views` of one that must be queried.

    Raises: UsageError if it is missing, out of reach or such a one.
    """
    with translated(f"table {table}"):
        found = client.get_table(str(table), retry=POLICY, timeout=_SHORTEST_TIMEOUT)
    stored = found.table_type in {"TABLE", "SNAPSHOT", "CLONE"}
    if not stored and not views:
        raise UsageError(f"{table} is a {found.table_type}: export it with --query 'SELECT * FROM `{table}`'")
    return Source(tuple(Field.from_api(field.to_api_repr()) for field in found.schema), found.location, stored)


def describe_query(client: Client, sql: str, what: str) -> Source:
    """The schema a query would answer with, by a dry run, which costs nothing.

    Raises: UsageError with BigQuery's message.
    """
    from google.cloud.bigquery import QueryJobConfig

    with translated(what):
        job = client.query(sql, job_config=QueryJobConfig(dry_run=True), retry=POLICY, timeout=_SHORTEST_TIMEOUT)
    return Source(tuple(Field.from_api(field.to_api_repr()) for field in job.schema or ()), job.location)


def rows(client: Client, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The rows a query answers with; it must be safe to run twice."""
    result = _run(client, sql, parameters)
    return [dict(row.items()) for row in result]


def materialise(client: Client, sql: str, table: TableId, expires: dt.datetime) -> None:
    """Keep a query's rows in `table` until `expires`; a table that is there already is taken as it is.

    A statement rather than a job's destination, so that it also runs on emulators; it is atomic, so a table that
    exists is complete.
    """
    with translated(f"table {table}"):
        _run(
            client,
            f"CREATE TABLE IF NOT EXISTS `{table}` OPTIONS(expiration_timestamp=TIMESTAMP '{_literal(expires)}') "
            f"AS {sql}",
        )


def drop(client: Client, table: TableId) -> None:
    """Delete a table; one that is gone is fine."""
    client.delete_table(str(table), not_found_ok=True, retry=POLICY, timeout=_SHORTEST_TIMEOUT)


def ensure_table(client: Client, table: TableId, shape: LedgerTable, location: str | None = None) -> LedgerTable:
    """Make a metadata table, and its dataset, where missing; add columns that an older one lacks. -> its shape.

    Raises: UsageError.
    """
    from google.cloud.bigquery import Dataset, SchemaField, Table, TimePartitioning

    schema = [SchemaField(column.name, column.type, description=column.description) for column in shape.columns]
    with translated(f"metadata table {table}"):
        dataset = Dataset(f"{table.project}.{table.dataset}")
        try:
            found = client.get_table(str(table), retry=POLICY, timeout=_SHORTEST_TIMEOUT)
        except exceptions.NotFound:
            try:
                client.get_dataset(dataset.reference, retry=POLICY, timeout=_SHORTEST_TIMEOUT)
            except exceptions.NotFound:
                if location:
                    dataset.location = location
                client.create_dataset(dataset, exists_ok=True, retry=POLICY, timeout=_SHORTEST_TIMEOUT)
            made = Table(str(table), schema)
            made.time_partitioning = TimePartitioning(field=shape.partition_by)
            made.clustering_fields = list(shape.cluster_by)
            client.create_table(made, exists_ok=True, retry=POLICY, timeout=_SHORTEST_TIMEOUT)
            return shape
        names = {field.name for field in found.schema}
        shape = shape.adapted_to(names)
        missing = [field for field in schema if shape.name_of(field.name) not in names]
        if missing:
            found.schema = [*found.schema, *missing]
            client.update_table(found, ["schema"], retry=POLICY, timeout=_SHORTEST_TIMEOUT)
    return shape


def exists(client: Client, table: TableId) -> bool:
    """Whether there is such a table."""
    try:
        client.get_table(str(table), retry=POLICY, timeout=_SHORTEST_TIMEOUT)
    except exceptions.NotFound:
        return False
    return True


def shape_of(client: Client, table: TableId, shape: LedgerTable) -> LedgerTable:
    """`shape` with the names that a metadata table has for its columns.

    Raises: UsageError if there is none.
    """
    with translated(f"metadata table {table}"):
        found = client.get_table(str(table), retry=POLICY, timeout=_SHORTEST_TIMEOUT)
    return shape.adapted_to({field.name for field in found.schema})


def merge_rows(
    client: Client, table: TableId, shape: LedgerTable, values: Sequence[Mapping[str, Any]], *, only_if: str = ""
) -> int:
    """Insert `values`, or update the rows that have their keys; twice is the same as once. -> rows written.

    All values have the same columns; other columns of a row that exists are left alone. `only_if` is a SQL
    condition on the existing row `old`, without which it is not updated.
    """
    written = 0
    names = [column for column in shape.columns if values and column.name in values[0]]
    for chunk in _chunks(values):
        # Quoted, as `rows` is a reserved word; so is `new`, which would read well for what is given.
        selected = ", ".join(f"{_from_json(column.type, column.name)} AS `{column.name}`" for column in names)
        matched = " AND ".join(f"old.`{name}` = given.`{name}`" for name in shape.key)
        updates = ", ".join(f"`{shape.name_of(c.name)}` = given.`{c.name}`" for c in names if c.name not in shape.key)
        columns = ", ".join(f"`{shape.name_of(column.name)}`" for column in names)
        inserted = ", ".join(f"given.`{column.name}`" for column in names)
        condition = f" AND {only_if}" if only_if else ""
        sql = (
            f"MERGE `{table}` old USING (SELECT {selected} FROM UNNEST(JSON_QUERY_ARRAY(@rows)) AS item) given "
            f"ON {matched} WHEN MATCHED{condition} THEN UPDATE SET {updates} "
            f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({inserted})"
        )
        written += _run(client, sql, {"rows": f"[{','.join(chunk)}]"}).num_dml_affected_rows or 0
    return written


def _chunks(values: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Rows as JSON, as many as fit into one request."""
    chunk: list[str] = []
    held = 0
    for value in values:
        text = json.dumps(value, default=_literal)
        if chunk and held + len(text) > _BYTES_PER_MERGE:
            yield chunk
            chunk, held = [], 0
        chunk.append(text)
        held += len(text)
    if chunk:
        yield chunk


def execute(client: Client, sql: str, parameters: Mapping[str, Any] | None = None) -> int:
    """Run a DML statement that is safe to repeat -> rows affected."""
    return _run(client, sql, parameters).num_dml_affected_rows or 0


def _run(client: Client, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
    job = client.query(sql, job_config=_config(parameters or {}), retry=POLICY, job_retry=MERGE_POLICY)
    return job.result(retry=POLICY, job_retry=MERGE_POLICY)


def _config(parameters: Mapping[str, Any]) -> QueryJobConfig:
    from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter

    def parameter(name: str, value: Any) -> Any:
        if isinstance(value, dt.datetime):
            return ScalarQueryParameter(name, "TIMESTAMP", value)
        return ScalarQueryParameter(name, "INT64" if isinstance(value, int) else "STRING", value)

    return QueryJobConfig(query_parameters=[parameter(name, value) for name, value in parameters.items()])


def _from_json(type_: str, name: str) -> str:
    text = f"JSON_VALUE(item, '$.{name}')"
    return text if type_ == "STRING" else f"CAST({text} AS {type_})"


def _literal(value: Any) -> str:
    """A moment or a day as SQL's casts read it."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds") + "+00"
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no SQL literal here")


def _reason(error: Exception) -> str:
    """The first line of an error's own message, without URL and job id."""
    details: Iterable[Any] = getattr(error, "errors", None) or ()
    for detail in details:
        if isinstance(detail, Mapping) and detail.get("message"):
            return str(detail["message"]).splitlines()[0]
    text = str(getattr(error, "message", "") or error).strip() or type(error).__name__
    return text.splitlines()[0].split("?prettyPrint=false: ")[-1]
