"""What a server can do is found out, and nothing stays behind."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import google_crc32c
import pytest

from tests.servers import sftp_faults as faults
from tests.servers.sftp_faults import PASSWORD, FaultyServer
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.sftp.probe import Probe, probe
from wharf.connectors.sftp.server import deliver
from wharf.launch.cli import main
from wharf.model.delivery import DeliveryProfile, OutboundFile, SftpTarget
from wharf.model.errors import FileRefused, ServerRefused


def no(found: Probe) -> set[str]:
    return {finding.ability for finding in found.findings if not finding.works}


def test_openssh_can_do_everything_and_the_scratch_folder_goes(sshd, tmp_path) -> None:
    target = sshd.target(directory=str(tmp_path))
    found = probe(target, Endpoints())
    assert no(found) == {"rename over a file"}  # it has posix-rename for that
    assert found.profile == DeliveryProfile()
    assert found.left == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "missing", "changes"),
    [
        (faults.Sound, set(), {}),
        (faults.NoStat, {"look at a file", "go on with a file"}, {"verify": "none", "resume": False}),
        (faults.NoRenameOver, {"rename over a file"}, {}),
        (faults.MovesOnClose, {"the file stays when it is closed"}, {"write": "direct", "verify": "none"}),
        (faults.OneOpenFile, {"several open files"}, {"open_files": 1}),
        (faults.NoMkdir, {"make a folder"}, {}),
        (faults.RefusesDotfiles, {"hidden files"}, {}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_profile_that_was_found_delivers(tmp_path, fault, missing, changes) -> None:
    data = b"content"
    (tmp_path / "staged").write_bytes(data)
    checksum = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
    with FaultyServer(fault, tmp_path / "files") as server:
        found = probe(server.target(), Endpoints())
        assert missing <= no(found) <= missing | {"rename over a file"}  # the protocol's own rename may refuse that
        expected = replace(DeliveryProfile(), **changes)
        assert replace(found.profile, resume=expected.resume) == expected
        if fault is not faults.MovesOnClose:
            assert list(server.root.iterdir()) == []
        target = replace(server.target(), delivery=found.profile)
        files = [OutboundFile(str(tmp_path / "staged"), f"file{n}", len(data), checksum) for n in range(5)]
        assert [result.error for result in deliver(files, target, Endpoints())] == [""] * 5


def test_the_number_of_connections_is_found(tmp_path) -> None:
    with FaultyServer(faults.Sound, tmp_path / "files", max_connections=2) as server:
        assert probe(server.target(), Endpoints()).profile.max_connections == 2


def test_a_folder_that_takes_no_files_is_said(tmp_path) -> None:
    with FaultyServer(faults.ReadOnly, tmp_path / "files") as server:
        with pytest.raises(FileRefused, match="permission denied"):
            probe(server.target(), Endpoints())
        assert list(server.root.iterdir()) == []


def test_a_wrong_password_is_an_error(tmp_path) -> None:
    with FaultyServer(faults.Sound, tmp_path / "files") as server:
        target: SftpTarget = server.target()
        (tmp_path / "files.password").write_text("wrong")
        with pytest.raises(ServerRefused, match="does not accept the password"):
            probe(target, Endpoints())


def flags(target: SftpTarget) -> list[str]:
    words = ["--host", target.host, "--port", str(target.port), "--username", target.username]
    return [*words, "--password-ref", str(target.password), "--host-key", target.host_key, "--directory", "/"]


def test_the_command_prints_what_it_found_and_the_profile(tmp_path, capsys) -> None:
    with FaultyServer(faults.NoStat, tmp_path / "files") as server:
        assert main(["sftp", "probe", *flags(server.target())]) == 0
        out = capsys.readouterr().out
        assert "no   look at a file" in out
        profile = json.loads(out.partition("configuration:")[2])["delivery"]
        assert profile["verify"] == "none"
        assert main(["sftp", "probe", "--json", *flags(server.target())]) == 0
        assert json.loads(capsys.readouterr().out)["delivery"] == profile
        assert PASSWORD not in out


def test_the_command_takes_the_server_from_a_configuration(tmp_path, capsys) -> None:
    with FaultyServer(faults.Sound, tmp_path / "files") as server:
        target = server.target()
        sftp = {"host": target.host, "port": target.port, "username": target.username, "host_key": target.host_key}
        exports = {"orders": {"source_table": "p.d.t", "export_type": "full"}}
        document = {
            "sftp": sftp | {"password": str(target.password), "directory": "/nowhere"},
            "gcs": {"bucket": "some-bucket"},
            "metadata": {"export_metadata_table": "p.d.runs"},
            "exports": exports,
        }
        config = Path(tmp_path / "exports.json")
        config.write_text(json.dumps(document))
        assert main(["sftp", "probe", "--config", str(config), "--directory", "/"]) == 0
        assert '"write": "rename"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "h"], "--username is missing"),
        ([], "give --config, or --host and --username"),
        (["--host", "h", "--username", "u"], "a reference, not the secret itself"),
        (["--host", "h", "--username", "u", "--password-ref", "hunter2"], "not a reference to a secret"),
        (["--password", "hunter2"], "unknown flag '--password' (did you mean --password-ref?)"),
    ],
)
def test_the_command_says_what_is_missing_and_shows_no_secret(capsys, words, message) -> None:
    assert main(["sftp", "probe", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "hunter2" not in error
