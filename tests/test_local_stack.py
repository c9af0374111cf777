"""The embedded stack, with real processes: it keeps its data, and it never leaves a process behind."""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from tests.conftest import ROOT, Run, needs_emulators
from wharf.connectors.sftp.connection import connect
from wharf.local.stack import LocalStack
from wharf.model.delivery import SftpTarget
from wharf.model.errors import ServerRefused, UsageError, WharfError
from wharf.model.secrets import SecretRef

pytestmark = needs_emulators

UP = [sys.executable, "-m", "wharf", "local", "up", "--dir"]
HOLD = "import sys, time; from wharf.local.stack import LocalStack\n"
HOLD += "with LocalStack(sys.argv[1]): print('ready', flush=True); time.sleep(600)"


def processes_of(directory: Path) -> list[int]:
    """Every process that has `directory` on its command line."""
    listing = subprocess.check_output(["ps", "-A", "-ww", "-o", "pid=,args="], text=True)
    return [int(line.split()[0]) for line in listing.splitlines() if str(directory) in line]


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return met


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory of one test; what still runs there afterwards is ended: a failure stays one."""
    yield tmp_path
    for pid in processes_of(tmp_path):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(directory: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command that holds a stack in `directory`, and returns once that is ready."""
    running = []

    def run(*command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*command, str(directory)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        assert process.stdout
        assert process.stdout.readline(), process.communicate()[1]
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def test_services_answer_googles_clients(stack: LocalStack) -> None:
    dataset = f"d{uuid.uuid4().hex}"
    with stack.endpoints.bigquery_client(stack.project) as client:
        client.create_dataset(dataset, timeout=30, retry=None)
        client.query_and_wait(f"CREATE TABLE {dataset}.t AS SELECT 7 AS n", wait_timeout=30)
        assert client.get_table(f"{dataset}.t", timeout=30, retry=None).num_rows == 1
    with stack.endpoints.read_client() as reader:
        session = {"table": f"projects/{stack.project}/datasets/{dataset}/tables/t", "data_format": "ARROW"}
        created = reader.create_read_session(
            parent=f"projects/{stack.project}", read_session=session, timeout=30, retry=None
        )
        assert len(created.streams) == 1


def test_load_jobs_see_the_objects_of_the_storage_emulator(stack: LocalStack) -> None:
    dataset = f"d{uuid.uuid4().hex}"
    bucket = stack.endpoints.storage_client().bucket(stack.bucket)
    bucket.blob(f"{dataset}/a.jsonl").upload_from_string('{"n": 1}\n{"n": 2}\n', timeout=30, retry=None)
    with stack.endpoints.bigquery_client(stack.project) as client:
        client.create_dataset(dataset, timeout=30, retry=None)
        job = client.load_table_from_uri(
            f"gs://{stack.bucket}/{dataset}/a.jsonl",
            f"{dataset}.t",
            job_config=bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", autodetect=True),
            timeout=30,
        )
        job.result(timeout=30)
        assert client.get_table(f"{dataset}.t", timeout=30, retry=None).num_rows == 2


def test_the_environment_leads_back_to_the_stack(stack: LocalStack) -> None:
    assert type(stack.endpoints).resolve(environ=stack.environment) == stack.endpoints
    assert stack.environment["GOOGLE_CLOUD_PROJECT"] == stack.project


def test_data_survives_a_restart_even_by_kill_9(directory: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    with LocalStack(directory) as first:
        with first.endpoints.bigquery_client(first.project) as client:
            client.create_dataset("kept", timeout=30, retry=None)
            client.query_and_wait("CREATE TABLE kept.t AS SELECT 7 AS n", wait_timeout=30)
        blob = first.endpoints.storage_client().bucket(first.bucket).blob("kept.txt")
        blob.upload_from_string("seven", timeout=30, retry=None)
    start(sys.executable, "-c", HOLD).kill()
    with LocalStack(directory) as second:
        with second.endpoints.bigquery_client(second.project) as client:
            assert [tuple(row) for row in client.list_rows("kept.t", timeout=30, retry=None)] == [(7,)]
            with pytest.raises(NotFound):
                client.get_table("kept.other", timeout=30, retry=None)
        blob = second.endpoints.storage_client().bucket(second.bucket).blob("kept.txt")
        assert blob.download_as_text(timeout=30, retry=None) == "seven"


def test_an_exception_leaves_no_process(directory: Path) -> None:
    def fail_inside() -> None:
        with LocalStack(directory):
            assert len(processes_of(directory)) == 2
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail_inside()
    assert processes_of(directory) == []


def test_kill_9_of_the_parent_leaves_no_process(directory: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    parent = start(sys.executable, "-c", HOLD)
    assert len(processes_of(directory)) == 3
    parent.kill()
    parent.wait()
    assert eventually(lambda: processes_of(directory) == [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_ends_in_order_on_a_signal_to_its_group(
    directory: Path, start: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    up = start(*UP)
    os.killpg(up.pid, number)  # As a terminal does: to the whole group, not to one process.
    _, errors = up.communicate(timeout=30)
    assert up.returncode == 0
    assert errors.endswith("stopped\n")
    assert processes_of(directory) == []
    for log in (directory / "logs").iterdir():
        assert "Traceback" not in log.read_text(), log


def test_a_background_stack_is_found_used_and_stopped(directory: Path, wharf: Run) -> None:
    up = wharf("local", "up", "--background", "--dir", str(directory))
    assert up.returncode == 0, up.stderr
    exports = [shlex.split(line) for line in up.stdout.splitlines()]
    assert [word for word, _ in exports] == ["export"] * 4
    assert wharf("local", "env", "--dir", str(directory)).stdout == up.stdout

    second = wharf("local", "up", "--dir", str(directory))
    assert (second.returncode, second.stdout) == (2, "")
    assert f"a local stack is running in {directory}" in second.stderr
    with pytest.raises(UsageError, match="is running"):
        LocalStack(directory).__enter__()

    down = wharf("local", "down", "--dir", str(directory))
    assert (down.returncode, down.stdout) == (0, "")
    assert processes_of(directory) == []


def test_an_sftp_server_takes_files_and_keeps_its_key_and_password(directory: Path) -> None:
    def secret(ref: SecretRef) -> str:
        return Path(ref.rest).read_text()

    with LocalStack(directory, sftp=True) as first:
        target = first.sftp_target()
        with connect(target, secret) as connection, paramiko.SFTPClient(connection.open_sftp()) as client:
            client.putfo(io.BytesIO(b"seven"), "/../taken.txt")
        environment = first.environment
    assert (directory / "sftp" / "taken.txt").read_bytes() == b"seven"
    for name in ("sftp_password", "sftp_host_key", "stack.json"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600
    assert environment["SFTP_PASSWORD"] == (directory / "sftp_password").read_text()
    assert (environment["SFTP_HOST"], environment["SFTP_PORT"]) == (target.host, str(target.port))
    assert (environment["SFTP_USERNAME"], environment["SFTP_DIRECTORY"]) == (target.username, "/")
    with LocalStack(directory, sftp=True) as second:
        again = second.sftp_target()
        assert again == replace(target, port=again.port)
        connect(again, secret).close()
        with pytest.raises(ServerRefused, match="does not accept the password"):
            connect(again, lambda ref: "another")
    assert processes_of(directory) == []


def test_up_with_sftp_exports_the_variables_of_its_account(directory: Path, wharf: Run) -> None:
    up = wharf("local", "up", "--background", "--sftp", "--dir", str(directory))
    assert up.returncode == 0, up.stderr
    exported = dict(shlex.split(line)[1].split("=", 1) for line in up.stdout.splitlines())
    assert len(exported) == 4 + 6
    target = SftpTarget(
        host=exported["SFTP_HOST"],
        port=int(exported["SFTP_PORT"]),
        username=exported["SFTP_USERNAME"],
        password=SecretRef("env:SFTP_PASSWORD"),
        host_key=exported["SFTP_HOST_KEY"],
    )
    connect(target, lambda ref: exported[ref.rest]).close()
    assert wharf("local", "down", "--dir", str(directory)).returncode == 0
    assert processes_of(directory) == []


def test_a_stack_without_sftp_says_how_to_get_it(stack: LocalStack) -> None:
    assert not any(name.startswith("SFTP") for name in stack.environment)
    with pytest.raises(UsageError, match="start it with sftp=True"):
        stack.sftp_target()


def test_down_says_when_nothing_runs(directory: Path, wharf: Run) -> None:
    down = wharf("local", "down", "--dir", str(directory))
    assert (down.returncode, down.stderr) == (0, f"no local stack is running in {directory}\n")


def test_env_says_when_nothing_runs(directory: Path, wharf: Run) -> None:
    env = wharf("local", "env", "--dir", str(directory))
    assert (env.returncode, env.stdout) == (2, "")
    assert "`wharf local up" in env.stderr


def test_a_stale_state_file_harms_nobody(directory: Path, wharf: Run) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (directory / "stack.json").write_text(f'{{"pid": {bystander.pid}}}')
        down = wharf("local", "down", "--dir", str(directory))
        assert bystander.poll() is None
        bystander.kill()
    assert "no local stack is running" in down.stderr


def test_an_emulator_that_does_not_start_is_named_with_its_log(directory: Path, wharf: Run) -> None:
    (directory / "bigquery").mkdir()
    (directory / "bigquery" / "bqemulator.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(WharfError, match="BigQuery emulator ended with exit status 1") as failure:
        LocalStack(directory).__enter__()
    assert failure.value.exit_code == 1
    assert f"{directory}/logs/bigquery.log" in str(failure.value)
    assert "not a valid DuckDB database" in str(failure.value)
    assert processes_of(directory) == []

    up = wharf("local", "up", "--background", "--dir", str(directory))
    assert up.returncode == 1
    assert "BigQuery emulator ended" in up.stderr


def test_an_emulator_that_dies_is_noticed(directory: Path) -> None:
    with LocalStack(directory) as stack:
        stack.check()
        os.kill(processes_of(directory)[0], signal.SIGKILL)
        with pytest.raises(WharfError, match="emulator ended with exit status -9"):
            eventually(lambda: bool(stack.check()))
    assert processes_of(directory) == []


def test_the_missing_extra_is_named(directory: Path) -> None:
    without_packages = [sys.executable, "-S", "-m", "wharf", "local", "up", "--dir", str(directory)]
    up = subprocess.run(without_packages, cwd=ROOT, capture_output=True, text=True, check=False)
    assert up.returncode == 2
    assert "pip install 'wharf[local]'" in up.stderr


def test_endpoints_of_a_stack_that_does_not_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not running"):
        _ = LocalStack(tmp_path).endpoints
