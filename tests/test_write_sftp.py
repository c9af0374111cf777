"""Files go through a pipeline to an SFTP server, over no more connections than it allows."""

from __future__ import annotations

import base64
import threading
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import google_crc32c
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import sftp_faults as faults
from tests.servers.sftp_faults import PASSWORD, FaultyServer
from transforms.write_sftp import DescribeFiles, WriteToSftp, slots
from wharf.connectors.endpoints import Endpoints
from wharf.model.delivery import DeliveryProfile, DeliveryResult, OutboundFile, SftpTarget


@pytest.fixture
def files(tmp_path: Path) -> list[OutboundFile]:
    made = []
    for number in range(40):
        data = b"%d " % number * 1000 * (number + 1)
        path = tmp_path / f"staged{number}"
        path.write_bytes(data)
        checksum = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
        made.append(OutboundFile(str(path), f"in/{number}", len(data), checksum, owner="run"))
    return made


def write(target: SftpTarget, files: list[OutboundFile], tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """-> (paths delivered, error by path rejected)."""
    for name in ("delivered", "rejected"):
        (tmp_path / name).mkdir()
    with beam.Pipeline(FnApiRunner()) as pipeline:
        written = pipeline | beam.Create(files) | WriteToSftp(target, Endpoints())
        for name, results in zip(("delivered", "rejected"), written, strict=True):
            results | f"Keep {name}" >> beam.Map(keep, str(tmp_path / name))
    delivered = [path.read_text() for path in (tmp_path / "delivered").iterdir()]
    rejected = [path.read_text().split("\n") for path in (tmp_path / "rejected").iterdir()]
    return sorted(delivered), {path: error for path, error, *_ in rejected}


def keep(result: DeliveryResult, folder: str) -> None:
    text = f"{result.file.remote_path}\n{result.error}" if result.error else result.file.remote_path
    Path(folder, result.file.uri.rpartition("/")[2]).write_text(text)


def test_every_file_is_delivered_once(sshd, tmp_path, files) -> None:
    target = sshd.target(directory=str(tmp_path / "server"))
    delivered, rejected = write(target, files, tmp_path)
    assert delivered == sorted(file.remote_path for file in files)
    assert rejected == {}
    for file in files:
        assert Path(target.directory, file.remote_path).read_bytes() == Path(file.uri).read_bytes()


def test_what_the_server_refuses_is_a_reject_and_not_a_failure(tmp_path, files) -> None:
    with FaultyServer(faults.ReadOnly, tmp_path / "server") as server:
        delivered, rejected = write(server.target(), files[:3], tmp_path)
    assert delivered == []
    assert set(rejected) == {"in/0", "in/1", "in/2"}
    assert all("permission denied" in error and PASSWORD not in error for error in rejected.values())


def test_files_of_one_name_and_names_that_lead_elsewhere_are_rejected(sshd, tmp_path, files) -> None:
    target = sshd.target(directory=str(tmp_path / "server"))
    twin = replace(files[1], remote_path=f"{target.directory}/in/0")
    astray = replace(files[2], remote_path="../x")
    delivered, rejected = write(target, [files[0], twin, astray, files[3]], tmp_path)
    assert delivered == ["in/3"]
    assert set(rejected) == {"in/0", twin.remote_path, "../x"}
    assert "2 files are to become" in rejected["in/0"]


def test_no_more_connections_are_made_than_the_server_allows(tmp_path, files) -> None:
    seen = [0]
    with FaultyServer(faults.Slow, tmp_path / "server", delay=0.01) as server:
        watching = threading.Event()

        def watch() -> None:
            while not watching.wait(0.002):
                seen.append(len(server.connections))

        thread = threading.Thread(target=watch)
        thread.start()
        target = server.target(delivery=DeliveryProfile(max_connections=2, open_files=2))
        delivered, _ = write(target, files, tmp_path)
        watching.set()
        thread.join()
    assert len(delivered) == len(files)
    assert max(seen) <= 2


def test_no_files_are_no_work(tmp_path) -> None:
    assert write(SftpTarget(host="nowhere.invalid", username="x"), [], tmp_path) == ([], {})


def test_files_that_somebody_else_staged_are_described(tmp_path, files) -> None:
    with beam.Pipeline(FnApiRunner()) as pipeline:
        found = pipeline | beam.Create([(files[7].uri, "in/7")]) | DescribeFiles(Endpoints())
        found | beam.Map(lambda file, folder: Path(folder, "described").write_text(repr(file)), str(tmp_path))
    assert (tmp_path / "described").read_text() == repr(replace(files[7], owner=""))


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60), st.integers(1, 8))
def test_slots_hold_every_file_once_and_are_even(sizes: list[int], most: int) -> None:
    files = [OutboundFile(f"u{number}", f"p{number}", size, "") for number, size in enumerate(sizes)]
    dealt = list(slots(None, files, most))
    assert sorted((file for slot in dealt for file in slot), key=files.index) == files
    assert len(dealt) <= most
    held = sorted(sum(file.bytes for file in slot) for slot in dealt)
    assert held[-1] - (held[0] if len(dealt) == most else 0) <= max(sizes) or len(dealt) < most
