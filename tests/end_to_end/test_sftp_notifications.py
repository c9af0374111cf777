"""People are told how a run ended, with a command that completes it; telling them cannot fail a run."""

from __future__ import annotations

import shlex

import pytest

from pipelines.bigquery_to_sftp import main
from tests.end_to_end.delivery import numbers
from tests.servers.sftp_faults import FaultyServer, QuotaExceeded, Sound
from tests.servers.webhook import PATH, Webhook
from wharf.launch.cli import main as wharf

CUT = {"max_rows_per_file": 50, "destination_filename": "{export_name}_{date}_{shard}.csv"}


@pytest.fixture
def slack():
    with Webhook() as running:
        yield running


def text_of(slack: Webhook) -> str:
    """The newest message."""
    text: str = slack.posts[-1][1]["text"]
    return text


def told_command(slack: Webhook) -> list[str]:
    """The words of the command in the newest message."""
    return shlex.split(text_of(slack).splitlines()[-1])


def test_a_failure_is_told_with_the_command_that_completes_it(deliver_to, orders, slack, tmp_path):
    with FaultyServer(QuotaExceeded, tmp_path / "files", after=5_000) as server:
        delivery = deliver_to(server.target(), server.root)
        export = {"source_table": orders(200)} | CUT
        delivery.write({"daily": export}, notifications={"slack": {"webhook": slack.url}})
        assert delivery.run("--export_name=daily", "--date=2025-03-02").code == 1
        (row,) = delivery.runs()
        failure = text_of(slack)
        assert failure.startswith("daily 2025-03-02: FAILED\n")
        assert row["export_id"] in failure
        assert "\nrows         200\n" in failure
        assert "\nfiles        4, " in failure
        assert "daily_2025-03-02_00004.csv" in failure
        assert row["error_message"] in failure
        server.fault = Sound

        program, *words = told_command(slack)
        assert program == "wharf"
        assert wharf(words) == 0
        assert delivery.column() == numbers(1, 200)
        success = text_of(slack)
        assert success.startswith("daily 2025-03-02: SUCCESS\n")
        assert "\nrows         200\n" in success
        assert "error" not in success
        assert "wharf retry" not in success
    assert len(slack.posts) == 2
    assert delivery.runs()[0]["notification_error"] is None


def test_an_export_that_could_not_begin_is_told_with_the_command_that_runs_it(delivery, orders, slack, sql):
    table = orders(20)
    delivery.write({"early": {"source_table": f"{table}_early"}}, notifications={"slack": {"webhook": slack.url}})
    assert delivery.run("--export_name=early", "--date=2025-03-02").code == 2
    failure = text_of(slack)
    assert failure.startswith("early 2025-03-02: FAILED\n")
    assert delivery.runs()[0]["error_message"] in failure
    sql(f"CREATE TABLE `{table}_early` AS SELECT * FROM `{table}`")
    wharf, run, pipeline, *words = told_command(slack)
    assert (wharf, run, pipeline) == ("wharf", "run", "bigquery_to_sftp")
    assert main(words) == 0
    assert list(delivery.files) == ["early_2025-03-02.csv"]
    assert text_of(slack).startswith("early 2025-03-02: SUCCESS\n")


def test_each_export_tells_whom_it_names_of_the_ends_it_names(delivery, orders, slack):
    table = orders(20)
    mine = {"slack": {"webhook": slack.url}, "text": "*{export_name}*: {rows} rows in {files} files, {status}"}
    delivery.write(
        {
            "told": {"source_table": table, "notifications": mine},
            "only_failures": {"source_table": table, "notifications": mine | {"on": ["failure"]}},
            "not_told": {"source_table": table},
        }
    )
    assert delivery.run("--export_name=all").code == 0
    assert [message for _, message in slack.posts] == [{"text": "*told*: 20 rows in 1 files, SUCCESS"}]


def test_a_webhook_that_answers_500_is_recorded_and_fails_nothing(delivery, orders, slack):
    slack.answers = [(500, {}, "no")] * 3
    delivery.write({"daily": {"source_table": orders(20)}}, notifications={"slack": {"webhook": slack.url}})
    ended = delivery.run("--export_name=daily")
    assert ended.code == 0, ended.err
    assert PATH not in ended.err + ended.out
    (row,) = delivery.runs()
    assert row["status"] == "SUCCESS"
    assert "500" in row["notification_error"]
    assert PATH not in row["notification_error"]
    assert f"not told     {row['notification_error']}" in ended.out
    assert len(delivery.files) == 1
