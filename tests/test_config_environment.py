"""Environment variables go before what a configuration says."""

from __future__ import annotations

import json

import pytest

from tests.configs import SERVER, URI, document, mistakes
from wharf.connectors.endpoints import environment_variable, overrides
from wharf.model.config import load
from wharf.model.delivery import SftpTarget
from wharf.model.secrets import SecretRef


def test_every_variable_goes_before_its_key() -> None:
    text = json.dumps(
        document(
            sftp={**SERVER, "path": "old", "known_hosts": "old", "host_key": "old"},
            metadata={"export_metadata_table": "old.old", "files_table": "kept.files"},
            notifications={"email": {"host": "m", "from": "a@b.c", "to": ["d@e.f"], "username": "u", "password": "x"}},
        )
    )
    config = load(
        text,
        uri=URI,
        variables={
            "SFTP_HOST": "new.host",
            "SFTP_PORT": "2200",
            "SFTP_USERNAME": "new",
            "SFTP_PASSWORD": "value",
            "SFTP_DIRECTORY": "new/dir",
            "SFTP_KNOWN_HOSTS": "/new/hosts",
            "SFTP_HOST_KEY": f"SHA256:{'n' * 43}",
            "GCS_BUCKET": "new-bucket",
            "EXPORT_METADATA_TABLE": "new.table",
            "EMAIL_PASSWORD": "value",
            "DEBUG": "True",
        },
    )
    assert config.sftp == SftpTarget(
        host="new.host",
        port=2200,
        username="new",
        password=SecretRef("env:SFTP_PASSWORD"),
        directory="new/dir",
        known_hosts="/new/hosts",
        host_key=f"SHA256:{'n' * 43}",
    )
    assert config.staging == "gs://new-bucket/wharf/sftp"
    assert (config.metadata_table, config.files_table) == ("new.table", "kept.files")
    email = config.exports["e"].notifications.email
    assert email
    assert email.password == SecretRef("env:EMAIL_PASSWORD")
    assert config.debug
    assert config.warnings == ()


def test_only_variables_that_are_set_are_read_from_the_environment() -> None:
    environ = {"SFTP_HOST": "h", "SFTP_PORT": "", "HOME": "/root"}
    assert overrides(environ) == {"SFTP_HOST": "h"}
    assert environment_variable("HOME", environ) == "/root"
    assert environment_variable("NOTHING", environ) is None


def test_a_wrong_variable_is_named_with_the_key_it_fills() -> None:
    found = mistakes(variables={"SFTP_PORT": "ssh", "GCS_BUCKET": "gs://b"})
    assert found["SFTP_PORT (sftp.port)"] == "must be a whole number, not text"
    assert found["GCS_BUCKET (gcs.bucket)"] == "'gs://b' is not understood: write one like my-bucket"


@pytest.mark.parametrize("text", ["", "no", "0", "wharf:*"])
def test_a_debug_variable_that_is_meant_for_others_is_passed_over(text: str) -> None:
    assert not load(json.dumps(document()), uri=URI, variables={"DEBUG": text}).debug
