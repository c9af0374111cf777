"""Where the rejects of failed batches go: the dead-letter table and prefix."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

import pytest
from google.cloud.bigquery import LoadJobConfig, SchemaField

from tests.landed import NOON, batch, landing
from wharf.connectors import bigquery
from wharf.connectors.loading.rejects import Rejects
from wharf.model.errors import UsageError
from wharf.model.loading.batch import Refused
from wharf.model.loading.state import reject_rows
from wharf.model.schema import TableId

CORRUPT = {"reason": "invalid", "message": "Could not parse column n", "location": "gs://b/in/1/part-1.csv"}
TOO_MANY = {"reason": "invalid", "message": "Error while reading data: too many errors"}


@pytest.fixture(scope="module")
def client(stack):
    return stack.endpoints.bigquery_client(stack.project)


@pytest.fixture(scope="module")
def storage(stack):
    return stack.endpoints.storage_client()


@pytest.fixture
def table(stack) -> TableId:
    return TableId(stack.project, "rejected", f"t_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def prefix(stack) -> str:
    return f"gs://{stack.bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def dropped(storage, prefix):
    """`dropped("1/", {"part-0.csv": "n\\n5\\n"})` -> the batch of these files, which are on Cloud Storage."""

    def drop(directory: str, files: dict[str, str]):
        uri = f"{prefix}/in/{directory}"
        for name, text in files.items():
            bucket, _, path = f"{uri}{name}".removeprefix("gs://").partition("/")
            storage.bucket(bucket).blob(path).upload_from_string(text)
        return batch(uri, files=len(files))

    return drop


@pytest.fixture
def read(storage):
    def tree(prefix: str) -> dict[str, str]:
        bucket, _, name = prefix.removeprefix("gs://").partition("/")
        place = storage.bucket(bucket)
        names = [blob.name for blob in place.list_blobs(prefix=f"{name}/")]
        return {path.removeprefix(f"{name}/"): place.blob(path).download_as_text() for path in names}

    return tree


def stored(client, table) -> list[dict]:
    return bigquery.rows(client, f"SELECT * FROM `{table}` ORDER BY file_uri, message")


def test_an_error_belongs_to_the_file_that_it_names():
    day = batch("gs://b/in/1/", files=12)
    by_message = {"reason": "invalid", "message": "gs://b/in/1/part-11.csv: no such column", "location": None}
    rows = reject_rows(day, [CORRUPT, by_message, TOO_MANY, CORRUPT], NOON)
    assert [(row["file_uri"].rpartition("/")[2], row["message"]) for row in rows] == [
        ("part-1.csv", CORRUPT["message"]),
        ("part-11.csv", by_message["message"]),
        ("", TOO_MANY["message"]),
    ]
    (row,) = reject_rows(batch("gs://b/in/1/", files=1), [TOO_MANY], NOON)
    assert row["file_uri"] == "gs://b/in/1/part-0.csv", "it can be no other"


def test_rejects_are_recorded_once_however_often_they_are(client, storage, table):
    rejects = Rejects(client, storage, table)
    rejects.ensure()
    day, nowhere = batch("gs://b/in/1/"), Refused(landing("gs://b/odd/"), "gs://b/odd/: no table in this path")
    for _ in range(2):
        rejects.record(day, [CORRUPT, TOO_MANY])
        rejects.record(nowhere, [{"reason": "refused", "message": nowhere.error}])
        rejects.record(day, [])
    found = stored(client, table)
    assert [(row["batch_id"], row["file_uri"], row["reason"], row["message"]) for row in found] == [
        (day.batch_id, "", "invalid", TOO_MANY["message"]),
        (nowhere.landing.batch_id, "", "refused", nowhere.error),
        (day.batch_id, "gs://b/in/1/part-1.csv", "invalid", CORRUPT["message"]),
    ]
    assert {row["directory"] for row in found} == {"gs://b/in/1/", "gs://b/odd/"}


def test_files_that_bigquery_refuses_are_set_aside_with_its_reasons(client, storage, table, prefix, dropped, read):
    day = dropped("1/", {"part-0.csv": "n\n5\n", "part-1.csv": "n\nfive\n"})
    client.create_dataset(table.dataset, exists_ok=True, retry=None)
    config = LoadJobConfig(source_format="CSV", skip_leading_rows=1, schema=[SchemaField("n", "INT64")])
    target = table._replace(table=f"{table.table}_target")
    job_id = uuid.uuid4().hex
    with pytest.raises(Exception):  # noqa: B017, PT011 - the emulator answers with the error, BigQuery's job has it
        client.load_table_from_uri(
            [file.uri for file in day.files], str(target), job_id=job_id, job_config=config, retry=None
        ).result(retry=None)
    errors = client.get_job(job_id, retry=None).errors
    assert errors

    rejects = Rejects(client, storage, table, f"{prefix}/dead/")
    rejects.ensure()
    rejects.record(day, [*errors, {"reason": "invalid", "message": "bad", "location": day.files[1].uri}])
    rejects.record(day, [{"reason": "invalid", "message": "bad", "location": day.files[1].uri}, *errors])
    rows = stored(client, table)
    assert {row["message"] for row in rows} == {"bad", *(error["message"][:2_000] for error in errors)}
    held = read(f"{prefix}/dead/sales.orders/{day.batch_id}")
    assert held.keys() >= {"rejects.jsonl", "files/part-1.csv"}, "the emulator blames the first file besides"
    assert held["files/part-1.csv"] == "n\nfive\n"
    lines = [json.loads(line) for line in held["rejects.jsonl"].splitlines()]
    assert {line["message"] for line in lines} == {row["message"] for row in rows}
    assert {line["directory"] for line in lines} == {day.directory}
    assert read(f"{prefix}/in/1").keys() == {"part-0.csv", "part-1.csv"}, "what was delivered stays"


def test_a_file_keeps_its_place_below_the_directory_and_one_that_is_gone_is_passed_over(
    client, storage, table, prefix, dropped, read
):
    day = dropped("1/", {"part-0.csv": "a", "part-1.csv": "b"})
    moved = replace(day.files[1], uri=f"{day.directory}eu/part-9.csv")
    day = replace(day, landing=replace(day.landing, files=(day.files[0], moved)))
    rejects = Rejects(client, storage, table, f"{prefix}/dead")
    rejects.ensure()
    rejects.record(day, [{"message": f"{file.uri} is corrupt"} for file in day.files])
    assert read(f"{prefix}/dead/sales.orders/{day.batch_id}").keys() == {"rejects.jsonl", "files/part-0.csv"}
    assert len(stored(client, table)) == 2

    alone = dropped("2/", {"part-0.csv": "c"})
    uri = alone.files[0].uri
    alone = replace(alone, table=None, landing=replace(alone.landing, directory=uri, marker=alone.files[0]))
    nowhere = Refused(alone.landing, "no table in this path")
    rejects.record(nowhere, [{"message": nowhere.error}])
    assert read(f"{prefix}/dead/no-table/{nowhere.landing.batch_id}")["files/part-0.csv"] == "c"


def test_a_dead_letter_bucket_that_is_not_there_is_noticed_at_the_start(client, storage, table, stack):
    Rejects(client, storage, table, f"gs://{stack.bucket}").ensure()
    with pytest.raises(UsageError, match=r"--dead_letter_prefix: gs://no-such-bucket/x: there is no such bucket"):
        Rejects(client, storage, table, "gs://no-such-bucket/x/").ensure()


def test_files_that_cannot_be_set_aside_leave_the_rows_recorded(client, storage, table, caplog):
    Rejects(client, storage, table).ensure()
    Rejects(client, storage, table, "gs://no-such-bucket/x").record(batch("gs://b/in/1/"), [CORRUPT])
    assert len(stored(client, table)) == 1
    assert "rejects of gs://b/in/1/ could not be put below gs://no-such-bucket/x" in caplog.text
