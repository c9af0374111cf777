"""The stack with Pub/Sub: it comes up, tells of what is put into it, and never leaves a process behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, needs_emulators
from tests.servers.pubsub_emulator import needs_pubsub, pubsub_emulator, pull
from tests.test_local_stack import eventually
from wharf.local import pubsub_server
from wharf.local.pubsub_server import PubSub
from wharf.local.put import put
from wharf.local.stack import LocalStack
from wharf.model.errors import UsageError, WharfError
from wharf.model.loading.notifications import parse

HOLD = """
import sys, time
from pathlib import Path
from tests.servers.pubsub_emulator import pubsub_emulator
with pubsub_emulator(Path(sys.argv[1]), "demo-project") as pubsub:
    print(pubsub.host, flush=True)
    time.sleep(600)
"""


def processes_at(host: str) -> list[int]:
    """The emulator on a port, what started it and what watches it."""
    listing = subprocess.check_output(["ps", "-A", "-ww", "-o", "pid=,args="], text=True)
    return [int(line.split()[0]) for line in listing.splitlines() if f"--port={host.split(':')[1]}" in line]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that holds an emulator, and the emulator's address."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        host = process.stdout.readline().strip()
        yield process, host
        process.kill()
        for pid in processes_at(host):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """A directory as it is delivered; its marker is neither the last name nor the last written."""
    for name, text in {"_SUCCESS": "", "a.csv": "n\n1\n", "part/b.csv": "n\n2\n", "_config/load.json": "{}"}.items():
        path = tmp_path / "day" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "day"


@needs_pubsub
def test_kill_9_of_the_parent_leaves_no_emulator(held: tuple[subprocess.Popen[str], str]) -> None:
    process, host = held
    assert len(processes_at(host)) == 3
    process.kill()
    process.wait()
    assert eventually(lambda: processes_at(host) == [])


@needs_pubsub
def test_kill_9_of_what_runs_the_emulator_leaves_none_either(tmp_path: Path) -> None:
    with pubsub_emulator(tmp_path, "demo-project") as pubsub:
        os.kill(min(processes_at(pubsub.host)), signal.SIGKILL)
        assert eventually(lambda: processes_at(pubsub.host) == [])
        with pytest.raises(WharfError, match=f"Pub/Sub emulator at {pubsub.host} does not do its work"):
            pubsub.make()


@needs_pubsub
@needs_emulators
def test_a_stack_with_pubsub_takes_files_and_announces_them(tmp_path: Path, day: Path, wharf: Run) -> None:
    directory = str(tmp_path / "stack")
    up = wharf("local", "up", "--background", "--pubsub", "--dir", directory)
    assert up.returncode == 0, up.stderr
    exported = dict(shlex.split(line)[1].split("=", 1) for line in up.stdout.splitlines())
    pubsub = PubSub(exported["PUBSUB_EMULATOR_HOST"], exported["GOOGLE_CLOUD_PROJECT"])
    try:
        quiet = wharf("local", "put", str(day / "a.csv"), "gs://demo-bucket", "--no-notify", "--dir", directory)
        assert (quiet.returncode, quiet.stderr) == (0, "gs://demo-bucket/a.csv\n")
        assert pull(pubsub) == []
        told = wharf("local", "put", str(day), "gs://demo-bucket/in/", "--dir", directory)
        assert told.returncode == 0, told.stderr
        uris = told.stderr.split()
        assert uris[-1] == "gs://demo-bucket/in/day/_SUCCESS"
        assert {parse(*message).uri for message in pull(pubsub)} == set(uris)
    finally:
        assert wharf("local", "down", "--dir", directory).returncode == 0
    assert processes_at(pubsub.host) == []


def test_messages_are_as_cloud_storage_sends_them(stack: LocalStack, pubsub: PubSub, day: Path) -> None:
    client = stack.endpoints.storage_client()
    target = f"gs://{stack.bucket}/{pubsub.name}/"
    list(put([day / "a.csv"], target, client, pubsub))
    ((first, data),) = pull(pubsub)
    blob = client.bucket(stack.bucket).get_blob(f"{pubsub.name}/a.csv")
    assert first == {
        "notificationConfig": f"projects/_/buckets/{stack.bucket}/notificationConfigs/1",
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": stack.bucket,
        "objectId": blob.name,
        "objectGeneration": str(blob.generation),
        "eventTime": json.loads(data)["updated"],
    }
    resource = json.loads(data)
    assert (resource["kind"], resource["name"], resource["size"]) == ("storage#object", blob.name, "4")
    assert resource["crc32c"] == blob.crc32c

    list(put([day / "a.csv"], target, client, pubsub))
    ((second, _),) = pull(pubsub)
    assert second["overwroteGeneration"] == first["objectGeneration"] != second["objectGeneration"]


def test_a_directory_keeps_its_name_and_its_marker_comes_last(stack: LocalStack, pubsub: PubSub, day: Path) -> None:
    target = f"gs://{stack.bucket}/{pubsub.name}"
    uris = list(put([day], target, stack.endpoints.storage_client(), pubsub))
    assert [uri.removeprefix(f"{target}/day/") for uri in uris] == [
        *["_config/load.json", "a.csv", "part/b.csv"],
        "_SUCCESS",
    ]
    assert [parse(*message).bytes for message in pull(pubsub)] == [2, 4, 4, 0]


@needs_emulators
@pytest.mark.parametrize(
    ("path", "target", "message"),
    [
        ("none.csv", "gs://demo-bucket/in/", "none.csv: no such file or directory"),
        ("day", "demo-bucket/in/", "demo-bucket/in/: files are put below gs://bucket/prefix/"),
        ("day", "gs://", "gs://: files are put below"),
        ("day", "gs://no-such-bucket/in/", "gs://no-such-bucket: the local stack has no such bucket"),
    ],
)
def test_what_cannot_be_put_is_named(stack: LocalStack, day: Path, path: str, target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(put([day.parent / path], target, stack.endpoints.storage_client(), None))


def test_notices_where_nothing_carries_them_are_refused(stack: LocalStack, day: Path, wharf: Run) -> None:
    with pytest.raises(UsageError, match="start it with pubsub=True"):
        _ = stack.pubsub
    command = ["local", "put", str(day), f"gs://{stack.bucket}/unannounced/", "--dir", str(stack.directory)]
    refused = wharf(*command, "--notify")
    assert refused.returncode == 2
    assert "has no Pub/Sub: start it with `wharf local up --pubsub`" in refused.stderr
    assert wharf(*command).stderr.endswith("/unannounced/day/_SUCCESS\n")


def test_a_machine_without_the_emulator_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(UsageError, match="install the Google Cloud CLI"):
        pubsub_server.find()
    gcloud, script = tmp_path / "bin/gcloud", tmp_path / "platform/pubsub-emulator/bin/cloud-pubsub-emulator"
    for path in (gcloud, script):
        path.parent.mkdir(parents=True)
    gcloud.touch(mode=0o755)
    with pytest.raises(UsageError, match="not installed: gcloud components install pubsub-emulator"):
        LocalStack(tmp_path / "stack", pubsub=True).__enter__()
    assert not (tmp_path / "stack").exists()
    script.touch(mode=0o755)
    assert pubsub_server.find() == script
