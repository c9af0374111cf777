"""Secrets: from every kind of reference to the value, and errors that name the reference and never the value."""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path

import pytest

from tests.servers.secret_manager import Damages, Refuses, SecretManager, SendsNoChecksum
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.secrets import resolve
from wharf.model.errors import RunFailed, UsageError, WharfError
from wharf.model.secrets import SecretRef, is_reference

NAME = "projects/p/secrets/sftp-password"
VALUE = "hunter2-and-more"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
NOWHERE = Endpoints()


def at(server: SecretManager) -> Endpoints:
    return Endpoints(secret_manager=f"http://{server.address}")


def refused(ref: str, endpoints: Endpoints = NOWHERE, kind: type[WharfError] = UsageError) -> str:
    with pytest.raises(kind) as caught:
        resolve(SecretRef(ref), endpoints)
    assert VALUE not in "".join(traceback.format_exception(caught.value))
    text = str(caught.value)
    assert text.startswith(f"{ref}: ")
    return text


def test_the_latest_version_is_meant_where_none_is_named() -> None:
    with SecretManager({NAME: [b"old", VALUE.encode()]}) as server:
        assert resolve(SecretRef(NAME), at(server)) == VALUE
        assert resolve(SecretRef(f"{NAME}/versions/latest"), at(server)) == VALUE
        assert resolve(SecretRef(f"{NAME}/versions/1"), at(server)) == "old"
        assert server.requests[0] == f"{NAME}/versions/latest:access"


def test_a_value_is_asked_for_once_and_a_rotated_one_is_seen_a_little_later() -> None:
    with SecretManager({NAME: [b"old"]}) as server:
        ref, endpoints = SecretRef(NAME), at(server)
        assert [resolve(ref, endpoints, keep_seconds=0.3) for _ in range(5)] == ["old"] * 5
        server.secrets[NAME].append(b"new")
        assert resolve(ref, endpoints, keep_seconds=60) == "old"
        assert len(server.requests) == 1
        time.sleep(0.3)
        assert resolve(ref, endpoints, keep_seconds=0.3) == "new"


def test_the_emulator_is_found_by_its_variable_and_passed_on() -> None:
    endpoints = Endpoints.resolve(environ={"SECRET_MANAGER_EMULATOR_HOST": "localhost:1"})
    assert endpoints.secret_manager == "http://localhost:1"
    assert Endpoints.resolve(environ=endpoints.environment()) == endpoints


def test_a_payload_without_a_checksum_is_taken() -> None:
    with SendsNoChecksum({NAME: [VALUE.encode()]}) as server:
        assert resolve(SecretRef(NAME), at(server)) == VALUE


def test_a_damaged_payload_is_refused() -> None:
    with Damages({NAME: [VALUE.encode()]}) as server:
        assert "arrived damaged" in refused(NAME, at(server), RunFailed)


def test_a_payload_that_is_no_text_is_refused() -> None:
    with SecretManager({NAME: [VALUE.encode() + b"\xff"]}) as server:
        assert "is not text in UTF-8" in refused(NAME, at(server))


def test_a_missing_secret_or_version_is_named() -> None:
    with SecretManager({NAME: [b"one"]}) as server:
        for ref in (f"{NAME}x", f"{NAME}/versions/2"):
            assert "no such secret, or no such version" in refused(ref, at(server))


@pytest.mark.parametrize(
    ("code", "status", "remedy"),
    [
        (403, "PERMISSION_DENIED", "grant roles/secretmanager.secretAccessor"),
        (401, "UNAUTHENTICATED", "gcloud auth application-default login"),
        (400, "FAILED_PRECONDITION", "disabled or destroyed"),
    ],
)
def test_a_refusal_says_what_to_do(code: int, status: str, remedy: str) -> None:
    with Refuses({NAME: [VALUE.encode()]}, code=code, status=status) as server:
        assert remedy in refused(NAME, at(server))
        assert len(server.requests) == 1


def test_a_bad_moment_is_tried_again() -> None:
    with Refuses({NAME: [VALUE.encode()]}, code=503, status="UNAVAILABLE", times=1) as server:
        assert resolve(SecretRef(NAME), at(server)) == VALUE
        assert len(server.requests) == 2


def test_a_variable_is_read_and_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHARF_TEST_SECRET", f"{VALUE}\n")
    assert resolve(SecretRef("env:WHARF_TEST_SECRET"), NOWHERE) == VALUE
    monkeypatch.delenv("WHARF_TEST_SECRET")
    assert "is not set on this machine" in refused("env:WHARF_TEST_SECRET")


@pytest.mark.parametrize(
    ("content", "value"),
    [(VALUE, VALUE), (f"{VALUE}\n", VALUE), (f"{VALUE}\r\n", VALUE), (f" {VALUE} ", f" {VALUE} "), (KEY, KEY)],
)
def test_a_file_loses_the_line_break_of_a_single_line_and_keeps_a_key_whole(
    tmp_path: Path, content: str, value: str
) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    assert resolve(SecretRef(f"file:{tmp_path}/secret"), NOWHERE) == value


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(VALUE.encode() + b"\xff")
    assert "there is no such file" in refused(f"file:{tmp_path}/none")
    assert "Is a directory" in refused(f"file:{tmp_path}")
    assert "is not text in UTF-8" in refused(f"file:{tmp_path}/binary")


def test_an_empty_secret_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("WHARF_TEST_SECRET", "")
    assert "is empty" in refused("env:WHARF_TEST_SECRET")
    assert "is empty" in refused(f"file:{tmp_path}/empty")
    with SecretManager({NAME: [b""]}) as server:
        assert "is empty" in refused(NAME, at(server))


def test_a_literal_secret_is_read_where_it_stands(tmp_path: Path) -> None:
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"sftp": {"password": VALUE}, "exports": [{"name": "a#b/c", "x": "y"}]}))
    assert resolve(SecretRef(f"config:{config}#/sftp/password"), NOWHERE) == VALUE
    assert resolve(SecretRef(f"config:{config}#/exports/0/x"), NOWHERE) == "y"


def test_a_literal_secret_that_was_replaced_by_a_reference_is_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(VALUE)
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"password": f"file:{tmp_path}/secret"}))
    assert resolve(SecretRef(f"config:{config}#/password"), NOWHERE) == VALUE


@pytest.mark.parametrize("pointer", ["/sftp/passphrase", "/sftp", "/sftp/password/x", "/sftp/port"])
def test_a_place_of_a_configuration_that_holds_no_secret_is_named(tmp_path: Path, pointer: str) -> None:
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"sftp": {"password": VALUE, "port": 22}}))
    assert "start the run again" in refused(f"config:{config}#{pointer}")


def test_a_configuration_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        resolve(SecretRef(f"config:{tmp_path}/none.json#/a"), NOWHERE)


@pytest.mark.parametrize("text", [VALUE, "projects/p", "env:", "file: x", ""])
def test_what_is_no_reference_is_refused_without_being_shown(text: str) -> None:
    assert not is_reference(text)
    with pytest.raises(UsageError) as caught:
        SecretRef(text)
    assert VALUE not in str(caught.value)
