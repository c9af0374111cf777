"""Servers with faults: each ends in one clear line and a FAILED run that can be completed, or in a completed run."""

from __future__ import annotations

import logging
import signal

import pytest

from tests.end_to_end.delivery import numbers
from tests.servers.sftp_faults import (
    PASSWORD,
    DiskFull,
    DropsConnection,
    FaultyServer,
    LosesLastWrite,
    NoMkdir,
    QuotaExceeded,
    ReadOnly,
    Silent,
    Sound,
)

ROWS = 400
CUT = {"max_rows_per_file": 50, "destination_filename": "{export_name}_{date}_{shard}.csv", "directory": "in"}
NAMES = [f"in/daily_2025-03-02_0000{n}.csv" for n in range(1, 9)]
DAILY = ["--export_name=daily", "--date=2025-03-02"]
IMPATIENT = {"attempts": 1, "timeout": 1}


@pytest.fixture(autouse=True)
def quiet_servers(monkeypatch):
    """The servers are in this process too: what asyncio says of their ends is no message of the pipeline's."""
    monkeypatch.setattr(logging.getLogger("asyncio"), "disabled", True)


@pytest.fixture(scope="module")
def table(orders) -> str:
    return orders(ROWS)


def failed(delivery, ended) -> dict:
    """Check that a run has ended as one that failed should. -> its row."""
    assert ended.code == 1, ended
    assert len(ended.err.splitlines()) == 1, ended.err
    (line,) = ended.err.splitlines()
    row = delivery.runs()[-1]
    assert line == f"error: run {row['export_id']}: {row['error_message']}"
    assert row["status"] == "FAILED"
    assert (row["last_exported_value"], row["last_export_timestamp"]) == (None, None)
    (manifest,) = delivery.manifests()
    staged = {file["remote_path"]: file["bytes"] for file in manifest["files"]}
    on_server = {name: len(data) for name, data in delivery.files.items() if not name.endswith(".part")}
    assert on_server.items() <= staged.items(), "what has its final name is complete"
    said = {file["remote_path"]: file["status"] for file in delivery.file_rows()}
    assert said.keys() == staged.keys()
    sent = {path for path, status in said.items() if status == "SUCCESS"}
    assert sent <= on_server.keys(), "nothing is reported as sent that is not there"
    # A connection may break between a renaming and its answer.
    assert len(on_server.keys() - sent) <= 4
    return row


def check_complete(delivery) -> None:
    """Check that the run is complete: every file once, nothing else, every row once."""
    assert sorted(delivery.files) == NAMES
    assert delivery.column() == numbers(1, ROWS)
    (row,) = delivery.runs()
    assert (row["status"], row["error_message"], row["rows_exported"]) == ("SUCCESS", None, ROWS)
    assert row["completed_at"]
    assert {file["status"] for file in delivery.file_rows()} == {"SUCCESS"}


@pytest.mark.parametrize(
    ("fault", "options", "reason"),
    [
        (QuotaExceeded, {"after": 5_000}, "quota"),
        (DiskFull, {"after": 5_000}, "space"),
        (ReadOnly, {}, "permission"),
        (NoMkdir, {}, "permission"),
        (Silent, {"after": 12}, "no answer"),
        (DropsConnection, {"after": 3_000, "times": 0}, "connection"),
        (LosesLastWrite, {"times": 0}, "bytes"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_fault_ends_in_a_failed_run_that_retry_completes(deliver_to, table, tmp_path, fault, options, reason):
    with FaultyServer(fault, tmp_path / "files", **options) as server:
        delivery = deliver_to(server.target(), server.root)
        delivery.sftp["delivery"] = IMPATIENT
        delivery.write({"daily": {"source_table": table} | CUT})
        row = failed(delivery, delivery.run(*DAILY))
        assert server.happened
        assert reason in row["error_message"].lower()
        assert "127.0.0.1" in row["error_message"]

        server.fault = Sound
        retried = delivery.wharf("retry", "--export_id", row["export_id"])
        assert (retried.code, retried.err) == (0, "")
        check_complete(delivery)
        assert delivery.wharf("verify").code == 0
        assert delivery.wharf("retry").out.startswith("nothing to send")


@pytest.mark.parametrize(("fault", "options"), [(DropsConnection, {"after": 3_000}), (LosesLastWrite, {"times": 1})])
def test_a_fault_that_passes_is_not_noticed_but_in_the_attempts(deliver_to, table, tmp_path, fault, options):
    with FaultyServer(fault, tmp_path / "files", **options) as server:
        delivery = deliver_to(server.target(), server.root)
        delivery.write({"daily": {"source_table": table} | CUT})
        ended = delivery.run(*DAILY)
        assert ended.code == 0, ended.err
        assert server.happened == 1
    check_complete(delivery)
    assert max(file["attempts"] for file in delivery.file_rows()) > 1


def test_what_an_incremental_run_could_not_send_is_sent_first_by_the_next_one(deliver_to, orders, tmp_path, sql):
    table = orders(100)
    news = {"source_table": table, "timestamp_column": "changed_at", "max_rows_per_file": 30}
    with FaultyServer(QuotaExceeded, tmp_path / "files", after=3_000) as server:
        delivery = deliver_to(server.target(), server.root)
        delivery.write({"news": news})
        row = failed(delivery, delivery.run("--export_name=news"))
        later = "100 + id, name, TIMESTAMP_ADD(changed_at, INTERVAL 2 HOUR), day"
        sql(f"INSERT INTO `{table}` SELECT {later} FROM `{table}`")

        still = delivery.run("--export_name=news")
        assert still.code == 1
        assert [run["export_id"] for run in delivery.runs()] == [row["export_id"]], "the same run, tried again"
        assert delivery.runs()[0]["last_exported_value"] is None

        server.fault = Sound
        ended = delivery.run("--export_name=news")
        assert (ended.code, ended.err) == (0, "")
        first, second = delivery.runs()
        assert first["export_id"] == row["export_id"]
        assert (first["status"], second["status"]) == ("SUCCESS", "SUCCESS")
        assert (first["rows_exported"], second["rows_exported"]) == (100, 100)
        assert first["last_exported_value"] == "2025-03-01 01:40:00+00:00"
        assert second["last_exported_value"] == "2025-03-01 03:40:00+00:00"
        assert delivery.column() == numbers(1, 200)
        assert len(delivery.files) == 8


def test_force_begins_a_failed_run_anew_and_leaves_nothing_of_it_to_retry(deliver_to, orders, tmp_path, sql):
    table = orders(ROWS + 1)
    with FaultyServer(ReadOnly, tmp_path / "files") as server:
        delivery = deliver_to(server.target(), server.root)
        delivery.write({"daily": {"source_table": table} | CUT})
        row = failed(delivery, delivery.run(*DAILY))
        sql(f"DELETE FROM `{table}` WHERE id > {ROWS}")
        server.fault = Sound
        ended = delivery.run(*DAILY, "--force")
        assert ended.code == 0, ended.err
        assert sorted(delivery.files) == NAMES
        assert delivery.column() == numbers(1, ROWS)
        assert [run["status"] for run in delivery.runs()] == ["FAILED", "SUCCESS"]
        (manifest,) = delivery.manifests()
        assert manifest["export_id"] != row["export_id"]
        assert delivery.wharf("retry").out.startswith("nothing to send")


def test_a_wrong_password_is_told_without_it_and_the_right_one_completes_the_run(deliver_to, table, tmp_path):
    with FaultyServer(Sound, tmp_path / "files") as server:
        delivery = deliver_to(server.target(), server.root)
        secret = tmp_path / "files.password"
        secret.write_text("not-the-one")
        delivery.write({"daily": {"source_table": table} | CUT})
        ended = delivery.run(*DAILY)
        row = failed(delivery, ended)
        assert "password" in row["error_message"]
        assert "not-the-one" not in row["error_message"]
        assert set(server.passwords) == {"not-the-one"}
        secret.write_text(PASSWORD)
        assert delivery.wharf("retry", "--export_name=daily").code == 0
        check_complete(delivery)


def test_an_unknown_host_key_and_a_server_that_is_down_are_told_apart_and_both_retried(deliver_to, table, make_sshd):
    server = make_sshd()
    delivery = deliver_to(server.target(), server.root)
    delivery.sftp |= {"host_key": "SHA256:" + "A" * 43, "delivery": IMPATIENT}
    delivery.write({"daily": {"source_table": table} | CUT})
    row = failed(delivery, delivery.run(*DAILY))
    assert "host key" in row["error_message"].lower()
    assert server.fingerprint in row["error_message"]

    delivery.sftp["host_key"] = server.fingerprint
    delivery.write({"daily": {"source_table": table} | CUT})
    server.stop()
    retried = delivery.wharf("retry")
    assert retried.code == 1
    assert "nobody listens" in retried.err.splitlines()[-1]
    assert "Traceback" not in retried.err
    assert delivery.runs()[-1]["status"] == "FAILED"

    server.restart()
    assert delivery.wharf("retry").code == 0
    check_complete(delivery)


def test_a_server_that_restarts_while_files_are_sent_gets_all_of_them(deliver_to, table, make_sshd):
    server = make_sshd()
    delivery = deliver_to(server.target(), server.root)
    delivery.write({"daily": {"source_table": table} | CUT})
    started = delivery.start(*DAILY)
    started.signal_when(lambda: server.root.joinpath("in").exists(), signal.SIGSTOP)
    server.restart()
    started.signal(signal.SIGCONT)
    ended = started.wait()
    assert ended.code == 0, ended.err
    check_complete(delivery)
