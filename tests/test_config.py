"""Configurations: the ways of writing one, and every mistake in it by its path."""

from __future__ import annotations

import dataclasses
import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.configs import AS_LIST, BY_NAME, SERVER, URI, VARIABLES, export, loaded, mistakes
from wharf.connectors.config import load_config, read_text
from wharf.connectors.endpoints import Endpoints
from wharf.model.config import load
from wharf.model.config_document import Delivery
from wharf.model.delivery import OVERWRITE, VERIFY, WRITE, DeliveryProfile, SftpTarget
from wharf.model.errors import UsageError
from wharf.model.json_document import at
from wharf.model.secrets import SecretRef
from wharf.model.sftp_export import SftpExport


def test_the_shape_with_exports_by_name_loads_unchanged() -> None:
    config = load(BY_NAME, uri=URI)
    assert config.sftp == SftpTarget(
        host="sftp.example.com",
        port=2222,
        username="wharf",
        password=SecretRef(f"config:{URI}#/sftp/password"),
        directory="/in",
    )
    assert config.staging == "gs://my-bucket/wharf/sftp"
    assert (config.metadata_table, config.files_table) == ("my-project.meta.exports", "my-project.meta.exports_files")
    assert config.exports == {
        "daily": SftpExport(
            name="daily",
            source_table="my-project.shop.orders",
            export_type="date_range",
            date_column="order_date",
            days_lookback=3,
            compress="gzip",
            destination_filename="{export_name}_{date}.csv.gz",
        ),
        "all_of_it": SftpExport(
            name="all_of_it",
            source_table="my-project.shop.customers",
            date_column="created",
            destination_filename="{export_name}_{date}.csv",
        ),
    }


def test_the_shape_with_a_list_of_exports_loads_unchanged_with_the_rest_from_the_environment() -> None:
    config = load(AS_LIST, uri=URI, variables=VARIABLES)
    assert config.sftp == SftpTarget(
        host="h.example", username="u", password=SecretRef("env:SFTP_PASSWORD"), directory="/upload"
    )
    assert config.staging == "gs://env-bucket/wharf/sftp"
    assert config.metadata_table == "project.dataset.export_metadata"
    assert config.files_table == "project.dataset.export_metadata_files"
    assert config.warnings == ()
    assert config.exports == {
        "events": SftpExport(
            name="events",
            source_table="shop.events",
            export_type="incremental",
            timestamp_column="received_at",
            columns=("id", "received_at"),
            destination_filename="X_{datetime}.csv",
            when_empty="skip",
        )
    }


def test_a_literal_secret_is_warned_about_by_its_path_and_is_in_no_value() -> None:
    config = load(BY_NAME, uri=URI)
    assert [warning.split(":")[0] for warning in config.warnings if "secret" in warning] == ["sftp.password"]
    assert "hunter2" not in repr(config)
    assert b"hunter2" not in pickle.dumps(config)
    place = str(config.sftp.password).partition("#")[2]
    assert at(json.loads(BY_NAME), place) == "hunter2"


def test_a_configuration_travels_to_workers() -> None:
    config = load(BY_NAME, uri=URI)
    assert pickle.loads(pickle.dumps(config)) == config


def test_every_mistake_is_found_at_once_by_its_path() -> None:
    found = mistakes(
        sftp={"host": "h", "usrname": "u", "port": 0, "delivery": {"write": "renam", "stripes": 9}},
        gcs={"bucket": "b/c"},
        staging=None,
        debugging=1,
        exports=[
            {"name": "a", "source_table": "d.t", "days_lookback": 0, "date_column": "d"},
            {"name": "b", "source_table": "d.t", "format": "cvs", "frmat": "csv", "compress": "zip"},
            {"nmae": "c", "columns": ["a", "b c"], "timestamp_column": "t", "date_column": "d"},
        ],
    )
    assert found == {
        "sftp.username": "is missing: write it here, or set SFTP_USERNAME",
        "sftp.usrname": "unknown key (did you mean username?)",
        "sftp.password": "is missing: give a reference to it or to a private_key, or set SFTP_PASSWORD",
        "sftp.port": "must be at least 1",
        "sftp.delivery.write": "'renam' is none of rename, dotfile, direct (did you mean rename?)",
        "sftp.delivery.stripes": "is more than max_connections, 4",
        "gcs.bucket": "'b/c' is not understood: write one like my-bucket",
        "staging": "must be text, not null",
        "debugging": "unknown key (did you mean debug?)",
        "exports[0].days_lookback": "must be at least 1",
        "exports[1].format": "'cvs' is none of csv, jsonl, parquet, avro (did you mean csv?)",
        "exports[1].frmat": "unknown key (did you mean format?)",
        "exports[1].compress": "'zip' is none of true, false, gzip, none (did you mean gzip?)",
        "exports[2].nmae": "unknown key (did you mean name?)",
        "exports[2].name": "is missing",
        "exports[2].columns[1]": "'b c' is not understood: write one like created_at",
        "exports[2].source_table": "give source_table or query",
        "exports[2].export_type": "is missing: timestamp_column asks for incremental, date_column for date_range",
    }


def test_the_error_has_a_line_for_each_mistake() -> None:
    with pytest.raises(UsageError) as caught:
        loaded(exports={"e": {"source_table": "d.t", "header": "yes"}, "f": {}})
    assert str(caught.value) == (
        f"{URI} has 2 mistakes\n"
        "  exports.e.header: must be true or false, not text\n"
        "  exports.f.source_table: give source_table or query"
    )
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("exports", [{}, [], None, "e", 3])
def test_a_configuration_without_exports_is_refused(exports: Any) -> None:
    assert list(mistakes(exports=exports)) == ["exports"]


def test_the_server_is_described_with_all_its_keys() -> None:
    sftp = {
        **SERVER,
        "private_key": "file:/keys/id",
        "passphrase": "projects/p/secrets/s",
        "certificate": "file:/keys/id-cert.pub",
        "known_hosts": "/hosts",
        "host_key": f"256 SHA256:{'a' * 43} root@host (ED25519)",
        "jump": {"host": "gate", "username": "j", "password": "literal", "jump": {**SERVER, "host": "outer"}},
        "delivery": {"write": "direct", "timeout": 5, "resume": False},
    }
    config = loaded(sftp=sftp)
    assert config.sftp.jump == SftpTarget(
        host="gate",
        username="j",
        password=SecretRef(f"config:{URI}#/sftp/jump/password"),
        jump=SftpTarget(host="outer", username="u", password=SecretRef("env:P")),
    )
    assert config.sftp.delivery == DeliveryProfile(write="direct", timeout=5, resume=False)
    assert config.sftp.passphrase == SecretRef("projects/p/secrets/s")
    assert [warning.split(":")[0] for warning in config.warnings] == ["sftp.jump.password"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"host_key": "MD5:aa:bb"}, "sftp.host_key"),
        ({"password": "", "private_key": "file:/k"}, "sftp.password"),
        ({"password": "projects/p/secrets/"}, "sftp.password"),
        ({"passphrase": "env:X"}, "sftp.passphrase"),
        ({"path": "a", "directory": "b"}, "sftp.path"),
        ({"jump": {"host": "g"}}, "sftp.jump.username"),
        ({"jump": {**SERVER}, "proxy_command": "nc %h %p"}, "sftp.proxy_command"),
        ({"jump": "gate"}, "sftp.jump"),
        ({"host": "a\nb"}, "sftp.host"),
        ({"host": "sftp://a"}, "sftp.host"),
    ],
)
def test_a_server_that_cannot_be_meant_is_refused(change: dict[str, Any], path: str) -> None:
    assert path in mistakes(sftp={**SERVER, **change})


def test_a_section_of_the_wrong_kind_is_one_mistake() -> None:
    assert mistakes(sftp="sftp://h") == {"sftp": "must be an object, not text"}


def test_delivery_has_the_keys_defaults_and_choices_of_the_profile() -> None:
    assert Delivery().model_dump() == dataclasses.asdict(DeliveryProfile())
    properties = Delivery.model_json_schema()["properties"]
    choices = [tuple(properties[key]["enum"]) for key in ("write", "overwrite", "verify")]
    assert choices == [WRITE, OVERWRITE, VERIFY]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"gcs": {"bucket": "bucket"}}, "staging"),
        ({"staging": "s3://b/p"}, "staging"),
        ({"staging": ""}, "gcs.bucket"),
        ({"metadata_table": "a.b", "metadata": {"export_metadata_table": "c.d"}}, "metadata_table"),
        ({"metadata_table": "not a table"}, "metadata_table"),
        ({"metadata": {"files_table": "UPPER.d.t"}}, "metadata.files_table"),
    ],
)
def test_places_that_contradict_each_other_or_are_none_are_refused(changes: dict[str, Any], path: str) -> None:
    assert list(mistakes(**changes)) == [path]


def test_staged_files_expire_as_the_bucket_says_unless_the_export_does() -> None:
    exports = {"a": {"source_table": "d.t"}, "b": {"source_table": "d.t", "expiration_days": 30}}
    config = loaded(exports=exports, staging="gs://bucket/x/", gcs={"expiration_days": 3})
    assert config.staging == "gs://bucket/x"
    assert [made.expiration_days for made in config.exports.values()] == [3, 30]
    assert export().expiration_days == 7


SECRET = "hunter2-and-more"
EMAIL = {"host": "mail", "from": "Wharf <wharf@example.com>", "to": ["a@example.com"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"sftp": {**SERVER, "password": [SECRET]}},
        {"sftp": {**SERVER, "pasword": SECRET}},
        {"sftp": {**SERVER, "password": SECRET, "private_key": {"x": SECRET}}},
        {"sftp": SECRET},
        {"sftp": {**SERVER, "host": f"{SECRET}\n", "proxy_command": f"{SECRET}\0", "host_key": SECRET}},
        {"sftp": {**SERVER, "password": SECRET, "port": SECRET, "jump": {"password": SECRET}}},
        {"notifications": {"slack": {"webhook": SECRET, "x": SECRET}, "email": {**EMAIL, "password": SECRET}}},
        {"notifications": {"slack": SECRET}},
    ],
)
def test_no_error_shows_a_secret(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        loaded(**changes)
    shown = "".join(traceback.TracebackException.from_exception(caught.value).format())
    assert SECRET not in shown + repr(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WHOLE = {
    **json.loads(BY_NAME),
    "notifications": {"slack": {"webhook": SECRET}, "email": {**EMAIL, "username": "u", "password": SECRET}, "on": []},
    "exports": [
        *json.loads(AS_LIST)["exports"],
        {"name": "q", "query": "SELECT 1", "notifications": {"email": None}, "delimiter": ";", "directory": "d"},
    ],
}


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(each for key, item in items for each in places(item, (*place, key)))]


@given(st.sampled_from(places(WHOLE)[1:]), JSON)
def test_whatever_stands_at_a_place_loads_or_is_a_mistake_that_shows_no_secret(
    place: tuple[Any, ...], new: Any
) -> None:
    changed = json.loads(json.dumps(WHOLE))
    holder = changed
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = new
    try:
        shown = repr(load(json.dumps(changed), uri=URI))
    except UsageError as error:
        shown = str(error) + repr(error)
    if place[-1] in {"password", "webhook", "sftp", "notifications", "slack", "email"}:
        assert SECRET not in shown


def test_a_file_is_read_and_its_own_place_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.json").write_text(BY_NAME, encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)
    config = load_config("c.json", Endpoints(), project="payer")
    assert config.uri == str(tmp_path / "c.json")
    assert str(config.sftp.password) == f"config:{tmp_path}/c.json#/sftp/password"
    assert config.project == "payer"


def test_a_file_on_cloud_storage_is_read(stack) -> None:
    uri = f"gs://{stack.bucket}/conf/c.json"
    stack.endpoints.storage_client().bucket(stack.bucket).blob("conf/c.json").upload_from_string(BY_NAME)
    config = load_config(uri, stack.endpoints)
    assert str(config.sftp.password) == f"config:{uri}#/sftp/password"
    for missing in (f"gs://{stack.bucket}/conf/d.json", "gs://no-such-bucket/c.json"):
        with pytest.raises(UsageError, match=f"{missing}: there is no such file"):
            load_config(missing, stack.endpoints)


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes('{"a": "é"}'.encode("latin-1"))
    for uri, reason in [
        (f"{tmp_path}/none", "there is no such file"),
        (str(tmp_path), "cannot be read: Is a directory"),
        (f"{tmp_path}/latin", r"is not text in UTF-8 \(byte 7\)"),
        ("https://example.com/c.json", "only a local path or gs://"),
        ("gs://bucket", "is no file"),
    ]:
        with pytest.raises(UsageError, match=reason):
            read_text(uri, Endpoints())
