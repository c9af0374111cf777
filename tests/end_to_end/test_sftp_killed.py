"""Runs that are killed at any moment: completed later, with every file and every row exactly once."""

from __future__ import annotations

import re
import signal

import pytest

from tests.end_to_end.delivery import numbers

ROWS = 400
CUT = {"max_rows_per_file": 50, "destination_filename": "{export_name}_{datetime}_{shard}.csv"}
MOMENTS = {
    "spilling": lambda delivery: any(delivery.staging.glob("*/*/spill-*")),
    "staged": lambda delivery: any(delivery.staging.glob("*/*/files/*")),
    "sealed": lambda delivery: any(delivery.staging.glob("*/*/manifest.json")),
    "sending": lambda delivery: any(delivery.remote.glob("*_*.csv*")),
}


@pytest.fixture(scope="module")
def table(orders) -> str:
    return orders(ROWS)


@pytest.fixture
def killed(delivery, table):
    """`killed("daily", "sending")`: an export that was killed at that moment."""
    whole = {"source_table": table} | CUT
    daily = whole | {"destination_filename": "{export_name}_{date}_{shard}.csv"}
    delivery.write({"daily": daily, "news": whole | {"timestamp_column": "changed_at"}})

    def kill(export: str, moment: str) -> None:
        run = delivery.start(*words(export))
        run.signal_when(lambda: MOMENTS[moment](delivery), signal.SIGKILL)
        assert run.wait().code == -signal.SIGKILL

    return kill


def words(export: str) -> list[str]:
    return [f"--export_name={export}", "--date=2025-03-02"]


def check_complete(delivery, export: str) -> None:
    """Check that the server has exactly the files of one clean run."""
    assert delivery.column() == numbers(1, ROWS)
    stems = {re.sub(r"_0000[1-8]\.csv$", "", name) for name in delivery.files}
    assert len(delivery.files) == 8
    assert len(stems) == 1, "all files of one run, and nothing else"
    if export == "news":
        assert delivery.runs()[-1]["last_exported_value"] == "2025-03-01 06:40:00+00:00"
    assert delivery.wharf("verify", "--export_name", export).code == 0


@pytest.mark.parametrize(
    ("export", "moment"),
    [("daily", "spilling"), ("news", "staged"), ("news", "sealed"), ("daily", "sending"), ("news", "sending")],
)
def test_the_same_command_completes_a_killed_run(delivery, killed, export, moment):
    killed(export, moment)
    ended = delivery.run(*words(export))
    assert ended.code == 0, ended.err
    check_complete(delivery, export)
    statuses = [run["status"] for run in delivery.runs()]
    assert statuses[0] == ("SUCCESS" if moment in {"sealed", "sending"} else "FAILED"), "what is sealed is completed"
    assert statuses[-1] == "SUCCESS"


def test_one_of_another_machine_is_completed_once_its_lease_has_ended(delivery, killed):
    killed("daily", "sending")
    delivery.move_to_another_machine()
    busy = delivery.run(*words("daily"))
    assert busy.code == 3, "the lease of the killed run still holds"
    (row,) = delivery.runs()
    assert row["status"] == "RUNNING"
    delivery.expire_lease()
    ended = delivery.run(*words("daily"))
    assert ended.code == 0, ended.err
    check_complete(delivery, "daily")
    assert delivery.runs()[0]["status"] == "SUCCESS"


@pytest.mark.parametrize("moment", ["staged", "sending"])
def test_force_takes_over_from_a_killed_run_at_once(delivery, killed, moment):
    killed("daily", moment)
    delivery.move_to_another_machine()
    ended = delivery.run(*words("daily"), "--force")
    assert ended.code == 0, ended.err
    check_complete(delivery, "daily")
    assert [run["status"] for run in delivery.runs()] == ["FAILED", "SUCCESS"]


@pytest.mark.parametrize("moment", ["sealed", "sending"])
def test_retry_completes_a_killed_run(delivery, killed, moment):
    killed("news", moment)
    delivery.move_to_another_machine()
    (row,) = delivery.runs()
    busy = delivery.wharf("retry", "--export_name=news")
    assert busy.code == 3
    assert row["export_id"] in busy.err
    forced = delivery.wharf("retry", "--export_name=news", "--force")
    assert (forced.code, forced.err) == (0, "")
    check_complete(delivery, "news")
    (done,) = delivery.runs()
    assert (done["export_id"], done["status"], done["rows_exported"]) == (row["export_id"], "SUCCESS", ROWS)
    assert len(delivery.file_rows()) == 8


def test_retry_finds_nothing_of_a_run_that_was_killed_before_its_files_were_complete(delivery, killed):
    killed("daily", "spilling")
    ended = delivery.wharf("retry")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("nothing to send")
    unknown = delivery.wharf("retry", "--export_id", delivery.runs()[0]["export_id"])
    assert unknown.code == 2
    assert "has staged files" in unknown.err
