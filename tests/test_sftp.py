"""Files delivered to real SFTP servers, sound ones and others."""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import pytest

from tests.servers import sftp_faults as faults
from tests.servers.sftp_faults import PASSWORD, FaultyServer
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.sftp.server import deliver, listing, look
from wharf.model.delivery import DeliveryProfile, DeliveryResult, OutboundFile, SftpTarget
from wharf.model.errors import UsageError

MB = 1 << 20
DIRECT = {"write": "direct", "verify": "none"}

Stage = Callable[..., OutboundFile]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """`stage("in/a.csv", 20_000)` -> a staged file of that size that is to go there."""

    def make(remote_path: str, content: int | bytes, **changes: Any) -> OutboundFile:
        data = os.urandom(content) if isinstance(content, int) else content
        path = tmp_path / "staged" / remote_path.strip("/").replace("/", "-")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return OutboundFile(str(path), remote_path, len(data), checksum(data), **changes)

    return make


@pytest.fixture
def place(sshd, tmp_path: Path) -> SftpTarget:
    """The OpenSSH server, in a folder of the test's own that is not there yet."""
    return sshd.target(directory=str(tmp_path / "server"))


def checksum(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def send(target: SftpTarget, *files: OutboundFile, connections: int | None = 1, **profile: Any) -> list[DeliveryResult]:
    """Results in the order of `files`."""
    target = replace(target, delivery=replace(DeliveryProfile(timeout=10), **profile))
    results = {result.file: result for result in deliver(files, target, Endpoints(), connections=connections)}
    assert len(results) == len(files)
    return [results[file] for file in files]


def there(folder: str | Path) -> dict[str, bytes]:
    """Content by name of all files below a folder."""
    root = Path(folder)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def content(*files: OutboundFile) -> dict[str, bytes]:
    return {file.remote_path: Path(file.uri).read_bytes() for file in files}


PROFILES = [
    {},
    {"write": "dotfile", "verify": "readback"},
    {"write": "direct"},
    {"write": "direct", "verify": "none", "overwrite": "fail"},
    {"overwrite": "version", "verify": "readback"},
    {"open_files": 1, "overwrite": "skip-if-same"},
]


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_files_of_all_sizes_arrive_and_nothing_else(place, stage, profile) -> None:
    sizes = [0, 1, 20_000, 255 * 1024, 255 * 1024 + 1, 3 * MB, 9 * MB + 7]
    files = [stage(f"in/deep/file{size}", size) for size in sizes]
    results = send(place, *files, **profile)
    assert [(result.error, result.skipped, result.attempts) for result in results] == [("", False, 1)] * len(files)
    assert there(place.directory) == content(*files)


def test_many_small_files_arrive_over_several_connections(place, stage) -> None:
    files = [stage(f"{number % 7}/file{number}", 1000 + number) for number in range(300)]
    assert not any(result.error for result in send(place, *files, connections=3))
    assert there(place.directory) == content(*files)


def test_a_large_file_is_written_by_several_connections_at_once(place, stage) -> None:
    file = stage("large", 40 * MB)
    [result] = send(place, file, connections=3, stripes=3, max_connections=3)
    assert (result.error, result.attempts) == ("", 1)
    assert there(place.directory) == content(file)


def test_a_file_that_is_there_is_replaced(place, stage) -> None:
    for profile in ({}, {"write": "direct"}, {"write": "dotfile", "verify": "none"}):
        for size in (50_000, 100):
            file = stage("in/a.csv", size)
            assert send(place, file, **profile)[0].error == ""
            assert there(place.directory) == content(file)


@pytest.mark.parametrize("write", ["rename", "direct"])
def test_fail_leaves_alone_what_is_there(place, stage, write) -> None:
    first = stage("a.csv", b"first")
    send(place, first)
    [result] = send(place, stage("a.csv", b"other"), overwrite="fail", write=write)
    assert "is there already" in result.error
    assert there(place.directory) == {"a.csv": b"first"}


@pytest.mark.parametrize("write", ["rename", "direct"])
def test_version_gives_a_number_before_the_extension(place, stage, write) -> None:
    names = []
    for number in range(3):
        results = send(
            place,
            stage("in/a.csv.gz", b"%d" % number),
            stage("plain", b"%d" % number),
            overwrite="version",
            write=write,
        )
        names.append([result.remote_path.removeprefix(f"{place.directory}/") for result in results])
    assert names == [["in/a.csv.gz", "plain"], ["in/a.1.csv.gz", "plain.1"], ["in/a.2.csv.gz", "plain.2"]]
    assert there(place.directory)["in/a.1.csv.gz"] == b"1"


def test_skip_if_same_goes_by_size_or_by_content(place, stage) -> None:
    send(place, stage("a", b"first"))
    same, other = stage("a", b"first"), stage("a", b"other")
    assert send(place, same, overwrite="skip-if-same", verify="readback")[0].skipped
    [by_size] = send(place, other, overwrite="skip-if-same")
    assert by_size.skipped
    assert by_size.error == ""
    [by_content] = send(place, other, overwrite="skip-if-same", verify="readback")
    assert not by_content.skipped
    assert there(place.directory) == {"a": b"other"}


@pytest.mark.parametrize("overwrite", ["replace", "version", "fail", "skip-if-same"])
def test_a_file_sent_again_is_left_alone_if_its_content_is_there(place, stage, overwrite) -> None:
    send(place, stage("a.csv", b"first"))
    [result] = send(place, stage("a.csv", b"first", again=True), overwrite=overwrite)
    assert (result.error, result.skipped) == ("", True)
    assert there(place.directory) == {"a.csv": b"first"}


def test_a_file_sent_again_finds_the_version_that_the_first_attempt_made(place, stage) -> None:
    for text in (b"first", b"other"):
        send(place, stage("a.csv", text), overwrite="version")
    [result] = send(place, stage("a.csv", b"other", again=True), overwrite="version")
    assert (result.skipped, Path(result.remote_path).name) == (True, "a.1.csv")
    assert there(place.directory) == {"a.csv": b"first", "a.1.csv": b"other"}


def test_a_damaged_staged_file_is_refused_and_does_not_appear(place, stage) -> None:
    small, large, gone = stage("small", 1000), stage("large", 6 * MB), stage("gone", 10)
    for file in (small, large):
        Path(file.uri).write_bytes(bytes(file.bytes))
    Path(gone.uri).unlink()
    for write in ("rename", "direct"):
        results = send(place, small, large, gone, stage("sound", 5), write=write)
        assert ["is damaged" in result.error for result in results] == [True, True, False, False]
        assert "cannot be read" in results[2].error
        assert set(there(place.directory)) == {"sound"}


@pytest.mark.parametrize("path", ["", "/", "a/../b", "..", "a//b", "./a", "a/", "a\0b"])
def test_a_path_that_is_none_is_refused(place, stage, path) -> None:
    with pytest.raises(UsageError, match="is no path for a file"):
        send(place, replace(stage("a", 1), remote_path=path))


def test_two_files_of_one_name_are_refused(place, stage) -> None:
    one, other = stage("a", 1), stage("b", 1)
    with pytest.raises(UsageError, match="2 files are to become"):
        send(place, one, replace(other, remote_path=f"{place.directory}/a"))


def test_no_files_make_no_connection() -> None:
    assert deliver([], SftpTarget(host="nowhere.invalid", username="x"), Endpoints()) == []


def test_one_can_look_at_what_is_there(place, stage) -> None:
    files = [stage(f"in/{number}", number) for number in range(300)]
    send(place, *files)
    sizes = look(place, [file.remote_path for file in files] + ["in/none", "nowhere/x"], endpoints=Endpoints())
    assert sizes == {file.remote_path: file.bytes for file in files} | {"in/none": None, "nowhere/x": None}
    assert listing(place, "in", endpoints=Endpoints()) == {str(number): number for number in range(300)}
    assert listing(place, endpoints=Endpoints()) == {}
    assert listing(place, "nowhere", endpoints=Endpoints()) == {}


def test_killed_connections_cost_no_file_and_leave_no_litter(make_sshd, stage) -> None:
    server = make_sshd()
    files = [stage(f"in/{number}", 30_000) for number in range(150)] + [stage("large", 40 * MB)]
    target = replace(server.target(), delivery=DeliveryProfile(timeout=10, stripes=2))
    ended: list[DeliveryResult] = []

    def on_result(result: DeliveryResult) -> None:
        ended.append(result)
        if len(ended) in {20, 60}:
            threading.Thread(target=server.kill_connections).start()

    results = deliver(files, target, Endpoints(), connections=2, on_result=on_result)
    assert [result.error for result in results] == [""] * len(files)
    assert results == ended
    assert there(server.root) == content(*files)


def test_a_restarted_server_is_waited_for(make_sshd, stage) -> None:
    server = make_sshd()
    files = [stage(str(number), 20_000) for number in range(100)]
    target = replace(server.target(), delivery=DeliveryProfile(timeout=10))
    restarts = [threading.Thread(target=server.restart)]

    def on_result(_: DeliveryResult) -> None:
        if restarts[0].ident is None:
            restarts[0].start()

    assert not any(result.error for result in deliver(files, target, Endpoints(), on_result=on_result))
    restarts[0].join()
    assert there(server.root) == content(*files)


@pytest.mark.parametrize("resume", [True, False])
def test_a_large_file_goes_on_where_the_connection_broke(tmp_path, stage, resume) -> None:
    file = stage("large", 12 * MB)
    with FaultyServer(faults.DropsConnection, tmp_path / "files", after=9 * MB) as server:
        [result] = send(server.target(), file, resume=resume)
        assert (result.error, result.attempts) == ("", 2)
        assert (server.written < 12 * MB) is resume  # counted from the break on
        assert there(server.root) == content(file)


def test_a_file_that_breaks_each_connection_is_given_up_and_the_others_arrive(tmp_path, stage) -> None:
    small, large = stage("small", 10), stage("large", 3 * MB)
    with FaultyServer(faults.DropsConnection, tmp_path / "files", after=2 * MB, times=0) as server:
        results = send(server.target(), large, small, attempts=2)
        assert "given up after 2 connections" in results[0].error
        assert results[1].error == ""
        assert there(server.root)["small"] == content(small)["small"]
        assert "large" not in there(server.root)


def test_a_lost_last_write_is_noticed_and_sent_again(tmp_path, stage) -> None:
    files = [stage("small", 1000), stage("large", 5 * MB)]
    with FaultyServer(faults.LosesLastWrite, tmp_path / "files", times=2) as server:
        results = send(server.target(), *files)
        assert [(result.error, result.attempts) for result in results] == [("", 2), ("", 2)]
        assert there(server.root) == content(*files)


@pytest.mark.parametrize("write", ["rename", "direct"])
def test_a_file_that_never_arrives_whole_does_not_appear(tmp_path, stage, write) -> None:
    with FaultyServer(faults.LosesLastWrite, tmp_path / "files", times=0) as server:
        [result] = send(server.target(), stage("a", 1000), write=write)
        assert "did not arrive whole (0 of 1000 bytes are there)" in result.error
        assert there(server.root) == {}


@pytest.mark.parametrize("code", ["permission", "unsupported"])
def test_a_server_that_refuses_stat_needs_verify_none(tmp_path, stage, code) -> None:
    file = stage("in/a", 1000)
    with FaultyServer(faults.NoStat, tmp_path / "files", code=code) as server:
        [result] = send(server.target(), file)
        assert "set delivery.verify to none" in result.error
        assert "wharf sftp probe" in result.error
        assert there(server.root) == {}
        assert send(server.target(), file, verify="none")[0].error == ""
        assert there(server.root) == content(file)


def test_a_server_that_renames_onto_no_file_keeps_one_of_the_two(tmp_path, stage) -> None:
    with FaultyServer(faults.NoRenameOver, tmp_path / "files") as server:
        for text in (b"first", b"second"):
            assert send(server.target(), stage("a", text))[0].error == ""
            assert there(server.root) == {"a": text}
        assert server.happened


def test_a_server_that_moves_files_on_close_needs_direct_and_no_verifying(tmp_path, stage) -> None:
    file = stage("a", 1000)
    with FaultyServer(faults.MovesOnClose, tmp_path / "files") as server:
        [result] = send(server.target(), file)
        assert "set delivery.write to direct and delivery.verify to none" in result.error
        [result] = send(server.target(), file, **DIRECT)
        assert result.error == ""
        assert there(server.root)["taken/a"] == content(file)["a"]


def test_a_server_of_one_open_file_needs_to_be_told(tmp_path, stage) -> None:
    files = [stage(str(number), 1000) for number in range(20)]
    with FaultyServer(faults.OneOpenFile, tmp_path / "files") as server:
        errors = [result.error for result in send(server.target(), *files)]
        assert any("set delivery.open_files to 1" in error for error in errors)
        assert not any(result.error for result in send(server.target(), *files, open_files=1))
        assert there(server.root) == content(*files)


@pytest.mark.parametrize("fault", [faults.DiskFull, faults.QuotaExceeded])
def test_a_full_disk_fails_the_files_that_do_not_fit_and_leaves_none_of_them(tmp_path, stage, fault) -> None:
    large, small = stage("large", 5 * MB), stage("small", 1000)
    with FaultyServer(fault, tmp_path / "files", after=1 * MB) as server:
        results = send(server.target(), large, small)
        assert "free some space" in results[0].error
        assert set(there(server.root)) == {"small"} - ({"small"} if results[1].error else set())


def test_what_may_not_be_written_is_said_with_a_remedy(tmp_path, stage) -> None:
    with FaultyServer(faults.ReadOnly, tmp_path / "one") as server:
        [result] = send(server.target(), stage("a", 10))
        assert re.search(r"/a\S* cannot be created: .*permission denied.*give the account 'wharf'", result.error)
    with FaultyServer(faults.NoMkdir, tmp_path / "two") as server:
        [result] = send(server.target(), stage("new/a", 10))
        assert "the folder is missing and cannot be made: no new folders (permission denied)" in result.error


def test_a_server_with_short_limits_gets_short_packets(tmp_path, stage) -> None:
    files = [stage("small", 100_000), stage("large", 5 * MB)]
    with FaultyServer(faults.ShortLimits, tmp_path / "files") as server:
        assert not any(result.error for result in send(server.target(), *files, verify="readback"))
        assert there(server.root) == content(*files)


def test_a_silent_server_ends_in_an_error_that_says_so(tmp_path, stage) -> None:
    with FaultyServer(faults.Silent, tmp_path / "files", after=2) as server:
        [result] = send(server.target(), stage("a", 10), timeout=0.3, attempts=2)
        assert "no answer within 0.3 s" in result.error


def test_a_wrong_password_is_shown_once_and_is_every_files_error(tmp_path, stage) -> None:
    files = [stage(str(number), 10) for number in range(300)]
    with FaultyServer(faults.Sound, tmp_path / "files") as server:
        target = server.target()
        (tmp_path / "files.password").write_text("wrong")
        results = send(target, *files, connections=4)
        assert {"does not accept the password" in result.error for result in results} == {True}
        assert server.passwords == ["wrong"]


def test_a_server_of_one_connection_gets_everything_over_it(tmp_path, stage) -> None:
    files = [stage(str(number), 10) for number in range(300)]
    with FaultyServer(faults.Sound, tmp_path / "files", max_connections=1) as server:
        results = send(server.target(), *files, connections=3, attempts=2)
        assert not any(result.error for result in results)
        assert there(server.root) == content(*files)
        assert PASSWORD not in str(results)


def test_nobody_there_is_every_files_error(stage) -> None:
    target = SftpTarget(host="127.0.0.1", port=1, username="x", host_key="SHA256:" + "A" * 43)
    [result] = send(target, stage("a", 10), attempts=2)
    assert "nobody listens on this port" in result.error
    assert result.attempts == 0
