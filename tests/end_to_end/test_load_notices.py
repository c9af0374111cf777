"""What a run says: its plan, its table, its counts, and messages to people."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.end_to_end.loads import csv_of
from tests.servers.webhook import PATH, Webhook
from wharf.model.errors import UsageError

ONE = {"part.csv": csv_of("id", (1,))}


@pytest.fixture
def slack():
    with Webhook() as running:
        yield running


def test_people_are_told_of_each_tables_batches_with_the_command_that_completes_them(loads, slack):
    document = loads.folder / "notifications.json"
    document.write_text(json.dumps({"slack": {"webhook": slack.url}}))
    loads.put("orders/_config/schema.json", [{"name": "id", "type": "INT64"}])
    loads.drop("orders/2025/03/01", ONE)
    loads.drop("orders/2025/03/02", {"part.csv": csv_of("id", (2,), (3,))})
    loads.drop("orders/2025/03/03", {"part.csv": "id\nx\n"})
    loads.drop("others/2025/03/01", {})
    ended = loads.run(f"--notifications={document}")
    assert ended.code == 1
    texts = sorted(message["text"] for _, message in slack.posts)
    assert len(texts) == 3
    orders = f"{loads.project}.{loads.dataset}.orders"
    failed, done, empty = texts
    assert failed.startswith(f"{orders} "), failed
    assert "FAILED" in failed.splitlines()[0]
    assert loads.errors()["orders/2025/03/03"] in failed
    assert "orders/2025/03/03/" in failed
    assert "orders/2025/03/02/" not in failed
    assert "SUCCESS" in done.splitlines()[0]
    assert "\nrows         3\n" in done
    assert "\nfiles        2, " in done
    assert "wharf retry" not in done
    assert empty.startswith(f"{loads.project}.{loads.dataset}.others ")
    assert "holds no data" in empty

    loads.put("orders/2025/03/03/part.csv", csv_of("id", (4,)))
    loads.put("others/2025/03/01/part.csv", csv_of("id", (5,)))
    program, *words = shlex.split(failed.splitlines()[-1])
    assert program == "wharf"
    again = loads.wharf(*words)
    assert again.code == 0, again.err
    assert loads.rows("orders", "id") == [(1,), (2,), (3,), (4,)]
    assert loads.rows("others", "id") == [(5,)]


def test_a_webhook_that_answers_500_is_logged_and_fails_nothing(loads, slack):
    slack.answers = [(500, {}, "no")] * 3
    loads.put("notifications.json", {"slack": {"webhook": slack.url}})
    loads.drop("orders/one", ONE)
    ended = loads.run(f"--notifications={loads.uri('notifications.json')}")
    assert ended.code == 0, ended.err
    assert "orders: nobody was told: " in ended.err
    assert "500" in ended.err
    assert PATH not in ended.err + ended.out


def test_a_plan_says_what_would_be_done_and_does_nothing(loads):
    loads.drop("orders/2025/03/01", {"a.csv": csv_of("id", (1,)), "b.csv": csv_of("id", (2,))})
    loads.drop("empty/2025/03/01", {})
    ended = loads.run("--plan", "--write_mode=replace_partition")
    assert ended.code == 0, ended.err
    first, second = ended.out.splitlines()
    assert first.startswith("cannot be loaded: ")
    assert loads.uri("empty/2025/03/01/") in first
    assert second.split() == [
        *("replace_partition", f"{loads.project}.{loads.dataset}.orders", "2", "files,", "10", "B"),
        loads.uri("orders/2025/03/01/"),
    ]
    assert [table.table_id for table in loads.client.list_tables(loads.dataset)] == []
    assert loads.run().code == 1
    assert [line.split()[0] for line in loads.run("--plan").out.splitlines()] == ["cannot"]


def test_a_run_counts_rows_where_it_can_tell_them_apart(loads):
    """Files that loaded together share a count; files of a time of their own do not."""
    loads.drop("shared/one", {"a.csv": csv_of("id", (1,), (2,)), "b.csv": csv_of("id", (3,))})
    loads.drop("shared/two", {"a.csv": csv_of("id", (4,))})
    loads.drop("alone/2025/03/01", {"a.csv": csv_of("id", (1,), (2,)), "b.csv": ""})
    ended = loads.run()
    assert ended.code == 0, ended.err
    counted = {row["directory"]: (row["rows"], row["loaded_rows"], row["loaded_batches"]) for row in loads.states()}
    assert counted == {"shared/one": (None, 4, 2), "shared/two": (None, 4, 2), "alone/2025/03/01": (2, 2, 1)}
    assert [(row["file_uri"], row["rows"], row["status"], row["bytes"]) for row in loads.file_rows()] == [
        ("alone/2025/03/01/a.csv", 2, "DONE", 7),
        ("shared/one/a.csv", None, "DONE", 7),
        ("shared/one/b.csv", None, "DONE", 5),
        ("shared/two/a.csv", None, "DONE", 5),
    ]
    assert "4 in 2" in ended.out
    assert ended.out.splitlines()[-1] == "3 DONE"


def test_unknown_words_of_a_notification_are_refused_before_anything_is_loaded(loads):
    loads.put("notifications.json", {"slak": {}})
    loads.drop("orders/one", ONE)
    ended = loads.run(f"--notifications={loads.uri('notifications.json')}")
    assert ended.code == UsageError.exit_code
    assert "slak" in ended.err
    assert loads.tables() == set()
