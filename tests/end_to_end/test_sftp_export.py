"""Full and date_range exports: a configuration goes in, files on a real OpenSSH server come out, and are recorded."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re

import google_crc32c
import pytest
from google.cloud.bigquery import SchemaField

from tests.configs import AS_LIST, BY_NAME
from tests.end_to_end.delivery import numbers
from wharf.model.ledger import FILES, RUNS

HEADER = ["id", "name", "changed_at", "day"]


def order(n: int) -> list[str]:
    """Row `n` of `orders`, as BigQuery prints it."""
    moment = dt.datetime(2025, 3, 1) + dt.timedelta(minutes=n)
    return [str(n), f"order {n}", f"{moment} UTC", f"2025-03-{1 + n % 10:02}"]


def crc(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


@pytest.fixture(scope="module")
def table(orders) -> str:
    return orders(200)


def test_the_configuration_by_names_becomes_files_rows_of_the_ledger_and_manifests(delivery, table, stack):
    document = json.loads(BY_NAME)
    document["sftp"] |= delivery.sftp
    document["gcs"]["bucket"] = stack.bucket
    document["metadata"]["export_metadata_table"] = delivery.metadata
    for export in document["exports"].values():
        export["source_table"] = table
    document["exports"]["daily"]["date_column"] = "day"
    delivery.config.write_text(json.dumps(document))
    before = dt.datetime.now(dt.UTC)
    ended = delivery.run("--export_name=all", "--date=2025-03-05")
    after = dt.datetime.now(dt.UTC)
    assert ended.code == 0, ended.err
    assert "sftp.password" in ended.err, "a literal password is warned about"
    assert "hunter2" not in ended.out + ended.err

    names = {"daily": "daily_2025-03-05.csv.gz", "all_of_it": "all_of_it_2025-03-05.csv"}
    assert set(delivery.files) == set(names.values())
    expected = {"daily": [n for n in range(1, 201) if n % 10 in {1, 2, 3}], "all_of_it": list(range(1, 201))}
    for export, name in names.items():
        header, *rows = delivery.tables[name]
        assert header == HEADER
        assert sorted(rows, key=lambda row: int(row[0])) == [order(n) for n in expected[export]]

    client = stack.endpoints.storage_client().bucket(stack.bucket)
    runs = {row["export_name"]: row for row in delivery.runs()}
    assert set(runs) == set(names)
    for export, row in runs.items():
        data = delivery.files[names[export]]
        assert set(row) == {column.name for column in RUNS.columns}
        moments = [row.pop(name) for name in ("started_at", "completed_at", "lease_until")]
        assert before < moments[0] < moments[1] < after < moments[2]
        assert re.fullmatch(rf"{export}-20250305-[0-9a-f]{{8}}", row["export_id"])
        assert row.pop("job_id")
        start, end = (2, 5) if export == "daily" else (5, 6)
        assert row == {
            "export_id": row["export_id"],
            "export_name": export,
            "source_table": table,
            "destination_uri": f"sftp://{delivery.sftp['username']}@127.0.0.1:{delivery.sftp['port']}{delivery.remote}",
            "status": "SUCCESS",
            "rows_exported": len(expected[export]),
            "error_message": None,
            "window_from": dt.datetime(2025, 3, start, tzinfo=dt.UTC),
            "window_to": dt.datetime(2025, 3, end, tzinfo=dt.UTC),
            "time_zone": "UTC",
            "bytes_exported": len(data),
            "files": 1,
            "partitions": None,
            "file_name": names[export],
            "last_exported_value": None,
            "last_export_timestamp": None,
            "notification_error": None,
            "settings": json.dumps({"config": str(delivery.config), "export_name": export}),
        }
        folder = f"wharf/sftp/{export}/{row['export_id']}"
        uri = f"gs://{stack.bucket}/{folder}/files/{names[export]}"
        (file,) = [file for file in delivery.file_rows() if file["export_id"] == row["export_id"]]
        assert set(file) == {column.name for column in FILES.columns}
        described = {
            "rows": len(expected[export]),
            "bytes": len(data),
            "crc32c": crc(data),
        }
        sent = {
            "file_uri": uri,
            "remote_path": names[export],
            "attempts": 1,
            "status": "SUCCESS",
            "error_message": None,
        }
        assert {name: file[name] for name in (*described, *sent)} == described | sent
        manifest = json.loads(client.blob(f"{folder}/manifest.json").download_as_bytes())
        assert manifest["files"] == [{"uri": uri, "remote_path": names[export], **described}]
        assert manifest["export_id"] == row["export_id"]
        assert client.blob(f"{folder}/files/{names[export]}").download_as_bytes() == data
        staged = {blob.name for blob in client.list_blobs(prefix=f"{folder}/")}
        assert staged == {f"{folder}/manifest.json", f"{folder}/files/{names[export]}"}


def test_the_configuration_as_a_list_finds_server_and_bucket_in_the_environment(delivery, orders, stack, monkeypatch):
    document = json.loads(AS_LIST)
    document["sftp"] = {"path": delivery.sftp["directory"], "port": delivery.sftp["port"]}
    document["sftp"]["private_key"] = delivery.sftp["private_key"]
    document["metadata_table"] = delivery.metadata
    document["exports"][0] |= {"source_table": orders(50), "timestamp_column": "changed_at"}
    document["exports"][0]["columns"] = ["changed_at", "id"]
    delivery.config.write_text(json.dumps(document))
    for name, value in (("SFTP_HOST", "host"), ("SFTP_USERNAME", "username"), ("SFTP_HOST_KEY", "host_key")):
        monkeypatch.setenv(name, delivery.sftp[value])
    monkeypatch.setenv("GCS_BUCKET", stack.bucket)
    ended = delivery.run("--export_name=events")
    assert ended.code == 0, ended.err
    (name,) = delivery.files
    assert re.fullmatch(r"X_\d{8}_\d{6}\.csv", name)
    header, *rows = delivery.tables[name]
    assert header == ["changed_at", "id"]
    assert sorted(rows) == [[order(n)[2], str(n)] for n in range(1, 51)]
    (row,) = delivery.runs()
    assert (row["status"], row["rows_exported"], row["file_name"]) == ("SUCCESS", 50, name)
    assert row["last_exported_value"] == "2025-03-01 00:50:00+00:00"
    assert row["last_export_timestamp"] == dt.datetime(2025, 3, 1, 0, 50, tzinfo=dt.UTC)


def test_date_range_selects_whole_days_before_the_date_in_the_exports_time_zone(delivery, make_table):
    moments = [SchemaField("id", "INT64"), SchemaField("moment", "TIMESTAMP")]
    table = make_table(
        moments,
        "SELECT n, TIMESTAMP_ADD(TIMESTAMP '2025-03-28 22:59:00+00', INTERVAL n HOUR) "
        "FROM UNNEST(GENERATE_ARRAY(0, 96)) AS n UNION ALL SELECT 1000, NULL",
    )
    shared = {"source_table": table, "date_column": "moment"}
    delivery.write(
        {
            "utc": shared,
            "berlin": shared | {"time_zone": "Europe/Berlin", "days_lookback": 2},
            "no_ties": shared | {"row_restriction": "id != 30", "days_lookback": 36500},
        }
    )
    ended = delivery.run("--export_name=all", "--date=2025-03-31")
    assert ended.code == 0, ended.err
    ids = {name: [int(row[0]) for row in rows[1:]] for name, rows in delivery.tables.items()}
    # The 30th in UTC; the 29th and 30th in Berlin, where clocks go forward on the 30th: 47 hours.
    assert sorted(ids["utc_2025-03-31.csv"]) == list(range(26, 50))
    assert sorted(ids["berlin_2025-03-31.csv"]) == list(range(1, 48))
    assert sorted(ids["no_ties_2025-03-31.csv"]) == [*range(30), *range(31, 50)]
    berlin = next(row for row in delivery.runs() if row["export_name"] == "berlin")
    assert berlin["window_from"] == dt.datetime(2025, 3, 28, 23, tzinfo=dt.UTC)
    assert berlin["window_to"] == dt.datetime(2025, 3, 30, 22, tzinfo=dt.UTC)
    assert berlin["time_zone"] == "Europe/Berlin"


def test_queries_views_switches_empty_results_and_many_files_in_one_run(delivery, table, sql):
    view = f"{table}_view"
    sql(f"CREATE VIEW `{view}` AS SELECT id FROM `{table}` WHERE id <= 20")
    query = f"SELECT id, '{{date}}' AS asked, '{{x}}' AS braces FROM `{table}` WHERE day < '{{date}}' -- the end"
    none = {"source_table": table, "row_restriction": "id < 0", "columns": ["day", "id"]}
    delivery.write(
        {
            "asked": {"query": query},
            "off": {"query": ""},
            "looked": {"source_table": view, "directory": "views/by day"},
            "cut": {"source_table": table, "max_rows_per_file": 60, "compress": True,
                    "destination_filename": "{export_name}-{date}-{shard}-of-{shards}.csv.gz"},
            "none": none,
            "none_sent": none | {"timestamp_column": "id", "when_empty": "send"},
            "none_wanted": none | {"when_empty": "skip"},
            "none_new": none | {"timestamp_column": "id"},
        }
    )  # fmt: skip
    ended = delivery.run("--export_name=all", "--date=2025-03-02")
    assert ended.code == 0, ended.err
    tables = delivery.tables
    sent = [name for name in tables if name.startswith("none_sent_")]
    cut = [f"cut-2025-03-02-0000{n}-of-00004.csv.gz" for n in range(1, 5)]
    assert sorted(tables) == sorted(
        ["asked_2025-03-02.csv", *cut, "none_2025-03-02.csv", *sent, "views/by day/looked_2025-03-02.csv"]
    )
    assert len(sent) == 1
    assert tables[sent[0]] == tables["none_2025-03-02.csv"] == [["day", "id"]]
    assert tables["asked_2025-03-02.csv"][0] == ["id", "asked", "braces"]
    assert sorted(tables["asked_2025-03-02.csv"][1:], key=lambda row: int(row[0])) == [
        [str(n), "2025-03-02", "{x}"] for n in range(10, 201, 10)
    ]
    assert {row[0] for row in tables["views/by day/looked_2025-03-02.csv"][1:]} == set(numbers(1, 20))
    assert all(tables[name][0] == HEADER for name in cut)
    assert sorted(len(tables[name]) - 1 for name in cut) == [20, 60, 60, 60]
    assert sorted(int(row[0]) for name in cut for row in tables[name][1:]) == list(range(1, 201))
    runs = {row["export_name"]: row for row in delivery.runs()}
    assert {name: (row["rows_exported"], row["files"]) for name, row in runs.items()} == {
        "asked": (20, 1), "looked": (20, 1), "cut": (200, 4), "none": (0, 1), "none_sent": (0, 1),
        "none_wanted": (0, 0), "none_new": (0, 0),
    }  # fmt: skip
    assert runs["cut"]["file_name"] == ", ".join(cut)
    assert runs["none_wanted"]["file_name"] is None
    assert {row["status"] for row in runs.values()} == {"SUCCESS"}
    left = sql(f"SELECT table_name FROM `{delivery.project}.ledger.INFORMATION_SCHEMA.TABLES`")
    own = {row["export_id"].replace("-", "_") for row in runs.values()}
    assert not [row for row in left if row["table_name"].removeprefix("wharf_") in own], "no temporary table stays"


def test_a_run_of_the_same_window_is_skipped_until_it_is_forced(delivery, orders, sql):
    table = orders(20)
    delivery.write({"daily": {"source_table": table, "date_column": "day", "days_lookback": 30},
                    "whole": {"source_table": table}})  # fmt: skip
    both = ["--export_name=daily, whole,daily", "--date=2025-03-20"]
    first = delivery.run(*both)
    assert first.code == 0, first.err
    before, done = delivery.files, delivery.runs()
    assert len(done) == 2
    sql(f"DELETE FROM `{table}` WHERE id > 15")
    again = delivery.run(*both)
    assert (again.code, again.err) == (0, "")
    lines = again.out.splitlines()
    assert len(lines) == 2
    for line, row in zip(lines, sorted(done, key=lambda row: row["export_name"] != "daily"), strict=True):
        assert line.startswith(f"{row['export_name']}: run {row['export_id']} delivered 2025-03-20 at ")
        assert "20 rows; --force repeats it" in line
    assert (delivery.files, delivery.runs()) == (before, done)
    forced = delivery.run("--export_name=daily", "--date=2025-03-20", "--force")
    assert forced.code == 0, forced.err
    assert sorted(int(row[0]) for row in delivery.tables["daily_2025-03-20.csv"][1:]) == list(range(1, 16))
    assert delivery.files["whole_2025-03-20.csv"] == before["whole_2025-03-20.csv"]
    assert [row["status"] for row in delivery.runs()] == ["SUCCESS"] * 3
    other = delivery.run("--export_name=whole", "--date=2025-03-21")
    assert other.code == 0, other.err
    assert len(delivery.runs("whole")) == 2
