"""Metadata tables and what BigQuery refuses."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.bigquery import SchemaField, Table

from wharf.connectors import bigquery
from wharf.model.errors import RunFailed, UsageError
from wharf.model.ledger import FILES, RUNS
from wharf.model.schema import TableId

NOW = dt.datetime(2025, 3, 1, 12, 30, 15, 123456, dt.UTC)


@pytest.fixture(scope="module")
def client(stack):
    return stack.endpoints.bigquery_client(stack.project)


@pytest.fixture
def table(client) -> TableId:
    return TableId(client.project, "metadata", f"t_{uuid.uuid4().hex[:8]}")


def run(number: int, **more: object) -> dict:
    return {"export_id": f"run-{number}", "status": "RUNNING", "started_at": NOW, "rows_exported": number} | more


def stored(client, table: TableId) -> list[dict]:
    return bigquery.rows(client, f"SELECT * FROM `{table}` ORDER BY export_id")


def test_a_missing_table_is_made_with_its_dataset_partitioned_and_clustered(client):
    table = TableId(client.project, f"made_{uuid.uuid4().hex[:8]}", "runs")
    bigquery.ensure_table(client, table, RUNS)
    bigquery.ensure_table(client, table, RUNS)
    made = client.get_table(str(table), retry=None)
    assert [(field.name, field.description) for field in made.schema] == [
        (column.name, column.description) for column in RUNS.columns
    ]
    assert made.time_partitioning.field == "started_at"
    assert made.clustering_fields == ["export_name", "status"]


def test_columns_that_an_older_table_lacks_are_added_and_others_kept(client, table):
    client.create_dataset(table.dataset, exists_ok=True, retry=None)
    old = [SchemaField("export_id", "STRING"), SchemaField("note", "STRING")]
    client.create_table(Table(str(table), old), retry=None)
    bigquery.ensure_table(client, table, RUNS)
    names = [field.name for field in client.get_table(str(table), retry=None).schema]
    assert names[:2] == ["export_id", "note"]
    assert set(names) == {"note"} | {column.name for column in RUNS.columns}


def test_merging_rows_twice_is_merging_them_once(client, table):
    bigquery.ensure_table(client, table, RUNS)
    bigquery.merge_rows(client, table, RUNS, [run(1), run(2)])
    bigquery.merge_rows(client, table, RUNS, [run(1), run(2)])
    found = stored(client, table)
    assert [row["export_id"] for row in found] == ["run-1", "run-2"]
    assert found[0]["started_at"] == NOW
    assert found[0]["rows_exported"] == 1


def test_merging_changes_the_columns_given_and_no_others(client, table):
    bigquery.ensure_table(client, table, RUNS)
    bigquery.merge_rows(client, table, RUNS, [run(1, job_id="host:1")])
    bigquery.merge_rows(
        client, table, RUNS, [{"export_id": "run-1", "status": "FAILED", "error_message": 'it\'s "x"\n'}]
    )
    (found,) = stored(client, table)
    assert (found["status"], found["error_message"], found["job_id"]) == ("FAILED", 'it\'s "x"\n', "host:1")


def test_a_condition_keeps_a_row_from_being_updated(client, table):
    bigquery.ensure_table(client, table, RUNS)
    bigquery.merge_rows(client, table, RUNS, [run(1, status="SUCCESS")])
    bigquery.merge_rows(client, table, RUNS, [run(1, status="FAILED")], only_if="old.status = 'RUNNING'")
    assert stored(client, table)[0]["status"] == "SUCCESS"


def test_many_rows_with_any_vendor_are_merged_in_several_statements(client, table):
    bigquery.ensure_table(client, table, FILES)
    vendors = [None, "", "../x", "ÅÄÖ", 'a"b\\', "x" * 300]
    rows = [
        {"export_id": "run", "file_uri": f"/f/{n}", "partition_date": "2025-03-01", "started_at": NOW,
         "vendor": vendors[n % len(vendors)], "rows": n} for n in range(1_500)
    ]  # fmt: skip
    bigquery.merge_rows(client, table, FILES, rows)
    found = bigquery.rows(client, f"SELECT * FROM `{table}`")
    assert {row["file_uri"]: (row["vendor"], row["rows"]) for row in found} == {
        row["file_uri"]: (row["vendor"], row["rows"]) for row in rows
    }
    assert {row["partition_date"] for row in found} == {dt.date(2025, 3, 1)}


def test_a_query_is_kept_until_it_expires_and_kept_once(client, table):
    client.create_dataset(table.dataset, exists_ok=True, retry=None)
    expires = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=1)
    bigquery.materialise(client, "SELECT 1 AS n", table, expires)
    bigquery.materialise(client, "SELECT 2 AS n", table, expires)
    assert bigquery.rows(client, f"SELECT n FROM `{table}`") == [{"n": 1}]
    bigquery.drop(client, table)
    bigquery.drop(client, table)
    with pytest.raises(UsageError, match="not found"):
        bigquery.describe_table(client, table)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (exceptions.NotFound("gone"), UsageError, "table t: not found"),
        (exceptions.Forbidden("denied"), UsageError, "table t: no permission"),
        (exceptions.Unauthorized("who?"), UsageError, "table t: credentials are missing or refused"),
        (DefaultCredentialsError("broken"), UsageError, "table t: credentials are missing or refused"),
        (exceptions.BadRequest("no SQL"), UsageError, "table t: BigQuery refuses it: 400 no SQL"),
        (exceptions.RetryError("late", cause=None), RunFailed, "table t: BigQuery gives no answer"),
    ],
)
def test_each_refusal_becomes_one_line_with_its_remedy(error, kind, said):
    with pytest.raises(kind) as raised, bigquery.translated("table t"):
        raise error
    assert said.replace("400 ", "") in str(raised.value)
    assert "\n" not in str(raised.value)
