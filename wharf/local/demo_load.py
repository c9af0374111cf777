"""`wharf demo load`: dropped files become partitions; one day comes again, and one is spoilt and repaired."""

from __future__ import annotations

import argparse
import io
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv

from wharf.connectors import bigquery
from wharf.local.demo import say
from wharf.local.demo_sftp import Steps
from wharf.local.stack import LocalStack
from wharf.model.errors import RunFailed

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

_DAYS, _FILES = 4, 3
_FOLDER = "in/shop/sales"


def run_demo(arguments: argparse.Namespace) -> int:
    """Start the stack in `arguments.dir`, and load `arguments.rows` rows in files of days.

    Raises: RunFailed if a step does not end as it should, or the table holds other rows than the files.
    """
    say("starting the embedded stack: BigQuery and Cloud Storage")
    with LocalStack(arguments.dir) as stack:
        client = stack.endpoints.bigquery_client(stack.project)
        bucket = stack.endpoints.storage_client().bucket(stack.bucket)
        client.create_dataset("shop", exists_ok=True)
        rows = max(arguments.rows // (_DAYS * _FILES), 1)
        say(f"dropping {_DAYS} days of {_FILES} CSV files below gs://{stack.bucket}/{_FOLDER}/, each with its _SUCCESS")
        for day in range(1, _DAYS + 1):
            _drop(bucket, day, rows)
        bucket.blob(f"{_FOLDER}/_config/load.json").upload_from_string(
            '{"skipLeadingRows": 1, "writeDisposition": "WRITE_TRUNCATE"}'
        )
        say("the last file of day 4 is spoilt: it has letters for a number")
        bucket.blob(f"{_FOLDER}/2025/03/04/part-{_FILES - 1}.csv").upload_from_string("id,amount\nspoilt,1.5\n")

        run = Steps(stack)
        load = ["python", "-m", "pipelines.files_to_bigquery", "--input", f"gs://{stack.bucket}/in/**"]
        load += ["--project", stack.project]
        run(*load, expected=1)
        say("day 4 is delivered again, whole, and so is day 2, with other amounts; what was loaded is not loaded again")
        _drop(bucket, 4, rows)
        _drop(bucket, 2, rows, amount=2.0)
        run(*load)
        run("wharf", "status", "--load_state_table", f"{stack.project}.bigquery_loads.serverless_bq_loads")
        say(f"{stack.project}.shop.sales by day:")
        _check(
            bigquery.rows(
                client,
                "SELECT DATE(file_timestamp) AS day, COUNT(*) AS n, COUNT(DISTINCT id) AS ids, SUM(amount) AS amount "
                f"FROM `{stack.project}.shop.sales` GROUP BY 1 ORDER BY 1",
            ),
            rows * _FILES,
        )
    return 0


def _drop(bucket: Bucket, day: int, rows: int, amount: float = 1.0) -> None:
    """Upload the files of a day, and then its `_SUCCESS`."""
    folder = f"{_FOLDER}/2025/03/{day:02}"
    for number in range(_FILES):
        first = (day * _FILES + number) * rows
        table = pa.table({"id": np.arange(first, first + rows), "amount": np.full(rows, amount)})
        data = io.BytesIO()
        pyarrow.csv.write_csv(table, data)
        bucket.blob(f"{folder}/part-{number}.csv").upload_from_string(data.getvalue())
    bucket.blob(f"{folder}/_SUCCESS").upload_from_string("")


def _check(found: list[dict[str, object]], rows: int) -> None:
    for row in found:
        print(f"   {row['day']}  {row['n']:>10,} rows  amount {row['amount']:>14,.1f}")
    wanted = [(rows, rows, rows * (2.0 if day == 2 else 1.0)) for day in range(1, _DAYS + 1)]
    if [(row["n"], row["ids"], row["amount"]) for row in found] != wanted:
        raise RunFailed("the table does not hold what the files hold")
    print("   every row once, day 2 as it came last")
