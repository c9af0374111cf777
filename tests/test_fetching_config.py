"""Configurations of APIs: what keys mean together, and every mistake by its path."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from wharf.model.errors import UsageError
from wharf.model.fetching.api import Auth, Incremental, Limits, Paging, Retries
from wharf.model.fetching.config import ApiConfig, check_remote_secrets, load_api
from wharf.model.fetching.document import Document, json_schema
from wharf.model.json_document import DocumentError, at
from wharf.model.secrets import SecretRef

URI = "/etc/wharf/api.json"


def document(**changes: Any) -> dict[str, Any]:
    """A valid configuration with one endpoint `e`, and `changes` at its top."""
    whole: dict[str, Any] = {"api": "x", "client_name": "acme", "base_url": "https://api.example/v1", "bucket": "my-b"}
    return {**whole, "dataset": "raw", "endpoints": {"e": {}}, **changes}


def loaded(**changes: Any) -> ApiConfig:
    return load_api(json.dumps(document(**changes)), uri=URI)


def mistakes(**changes: Any) -> dict[str, str]:
    """What is wrong, by path."""
    with pytest.raises(DocumentError) as caught:
        loaded(**changes)
    return dict(caught.value.mistakes)


def test_a_burst_is_taken_over_and_must_be_a_number_above_0() -> None:
    assert loaded(limits={"per_minute": 600, "burst": 10}).api.limits == Limits(per_minute=600, burst=10)
    assert loaded(limits={"per_minute": 600}).api.limits.burst is None
    assert mistakes(limits={"burst": 0}) == {"limits.burst": "must be at least 1"}


def of_endpoint(**keys: Any) -> dict[str, str]:
    return {path.removeprefix("endpoints.e."): text for path, text in mistakes(endpoints={"e": keys}).items()}


def test_what_is_not_written_has_its_default() -> None:
    config = loaded()
    assert config.api.auth == Auth()
    assert config.api.limits == Limits()
    assert config.api.retries == Retries()
    assert config.api.tenants == ("",)
    assert (config.bucket, config.raw_mode, config.project) == ("gs://my-b", "typed", "")
    (endpoint,) = config.api.endpoints
    assert (endpoint.path, endpoint.records, endpoint.paging, endpoint.incremental) == ("e", "$[*]", Paging(), None)


def test_short_paths_are_whole_ones() -> None:
    (endpoint,) = loaded(
        endpoints={"e": {"records": "a.b[*]", "primary_key": ["id", "$['odd key']"], "params": {"x": [1, True, "y"]}}}
    ).api.endpoints
    assert endpoint.records == "$.a.b[*]"
    assert endpoint.primary_key == ("$.id", "$['odd key']")
    assert endpoint.params == (("x", "1"), ("x", "true"), ("x", "y"))


def test_an_endpoint_goes_before_the_defaults_key_by_key() -> None:
    defaults = {"paging": {"kind": "page", "param": "p"}, "primary_key": ["id"], "incremental": {"param": "since"}}
    first, second = loaded(
        endpoint_defaults=defaults, endpoints={"a": {}, "b": {"paging": None, "incremental": None}}
    ).api.endpoints
    assert first.paging == Paging(kind="page", param="p")
    assert first.incremental == Incremental(param="since")
    assert (second.paging, second.incremental, second.primary_key) == (Paging(), None, ("$.id",))


def test_the_client_is_named_by_flag_then_environment_then_document() -> None:
    text = json.dumps(document(dataset="{client_name}_x", endpoints={"e": {"path": "of/{client_name}"}}))
    variables = {"CLIENT_NAME": "env", "GOOGLE_CLOUD_PROJECT": "p"}
    assert load_api(text, uri=URI, variables=variables, client_name="flag").dataset == "flag_x"
    config = load_api(text, uri=URI, variables=variables)
    assert (config.api.client_name, config.dataset, config.project) == ("env", "env_x", "p")
    assert config.api.endpoints[0].path == "of/env"
    assert load_api(text, uri=URI).api.client_name == "acme"
    text = json.dumps(document(project="own"))
    assert load_api(text, uri=URI, variables=variables).project == "own"
    assert load_api(text, uri=URI, variables=variables, project="flag").project == "flag"


def test_a_client_has_what_is_its_own() -> None:
    changes = {
        "client_name": "b",
        "tenant_header": "X-Org",
        "headers": {"A": "1", "B": "1"},
        "auth": {"kind": "basic", "username": "all", "password": "env:P"},
        "clients": {
            "a": {"tenants": ["1"]},
            "b": {"tenants": ["2", "3"], "headers": {"B": "2"}, "auth": {"username": "own"}, "bucket": "gs://other/x/"},
        },
    }
    config = loaded(**changes)
    assert config.api.tenants == ("2", "3")
    assert config.api.headers == (("A", "1"), ("B", "2"))
    assert config.api.auth == Auth(kind="basic", username="own", password=SecretRef("env:P"))
    assert config.bucket == "gs://other/x"


def test_the_only_client_needs_no_name_and_one_of_several_does() -> None:
    clients = {"acme": {"dataset": "a"}, "globex": {"dataset": "g"}}
    assert loaded(client_name="globex", clients=clients).dataset == "g"
    one = {key: value for key, value in document(clients={"acme": {}}).items() if key != "client_name"}
    assert load_api(json.dumps(one), uri=URI).api.client_name == "acme"
    with pytest.raises(DocumentError, match="CLIENT_NAME; there are acme, globex"):
        load_api(json.dumps({**one, "clients": clients}), uri=URI)
    assert mistakes(client_name="acne", clients=clients) == {"clients": "has no 'acne' (did you mean acme?)"}


def test_a_literal_secret_works_and_is_warned_about_and_never_shown() -> None:
    auth = {"kind": "client_credentials", "token_url": "https://t.example/x", "client_id": "my-app"}
    text = json.dumps(document(auth={**auth, "client_secret": "hunter2"}))
    config = load_api(text, uri=URI)
    assert config.api.auth.client_secret == SecretRef(f"config:{URI}#/auth/client_secret")
    assert config.api.auth.client_id == SecretRef(f"config:{URI}#/auth/client_id")
    assert at(json.loads(text), "/auth/client_secret") == "hunter2"
    assert [each.split(":")[0] for each in config.warnings] == ["auth.client_secret"]
    assert "hunter2" not in repr(config)
    with pytest.raises(UsageError, match="is a secret that workers cannot read"):
        check_remote_secrets(config)


@pytest.mark.parametrize(
    ("auth", "found"),
    [
        ({"kind": "basic", "username": "u"}, {"auth.password": "is missing: basic needs it"}),
        (
            {"kind": "bearer", "password": "env:T", "username": "u"},
            {"auth.username": "does not belong to the kind bearer"},
        ),
        (
            {"kind": "api_key", "password": "env:K"},
            {"auth.header": "or param must say, one of them, where the key goes"},
        ),
        (
            {"kind": "refresh_token", "token_url": "https://t.example/x", "client_id": "c", "token": "hunter2"},
            {
                "auth.token": "must be a place where each new token can be put: projects/P/secrets/S without a "
                "version, or file:PATH"
            },
        ),
        (
            {"kind": "oauth"},
            {"auth.kind": "'oauth' is none of none, basic, api_key, bearer, client_credentials, refresh_token"},
        ),
    ],
)
def test_auth_needs_what_its_kind_needs(auth: dict[str, Any], found: dict[str, str]) -> None:
    assert mistakes(auth=auth) == found


@pytest.mark.parametrize("token", ["env:T", "projects/p/secrets/s/versions/latest", "config:/x#/y"])
def test_a_refresh_token_is_kept_only_where_the_next_one_can_be_put(token: str) -> None:
    auth = {"kind": "refresh_token", "token_url": "https://t.example/x", "client_id": "c", "token": token}
    assert list(mistakes(auth=auth)) == ["auth.token"]


@pytest.mark.parametrize(
    ("changes", "path", "text"),
    [
        ({"base_url": "api.example"}, "base_url", "is not a URL"),
        ({"base_url": "https://u:hunter2@api.example"}, "base_url", "holds credentials"),
        ({"base_url": "https://api.example:port"}, "base_url", "is not a URL"),
        ({"base_url": "https://bücher.example"}, "base_url", "is not a URL"),
        ({"bucket": "s3://x"}, "bucket", "is neither a bucket's name"),
        ({"dataset": "a-b"}, "dataset", "'a-b' is no dataset's name"),
        ({"api": None}, "api", "is missing"),
        ({"endpoints": {}}, "endpoints", "is missing"),
        ({"endpoints": []}, "endpoints", "is missing"),
        ({"endpoints": ["e"]}, "endpoints", "must be an object, not a list"),
        ({"endpoints": {"e": {"enabled": False}}}, "endpoints", "are all switched off"),
        ({"endpoints": {"a/b": {}}}, 'endpoints["a/b"]', "is no name"),
        ({"headers": {"Authorization": "Bearer hunter2"}}, "headers.Authorization", "would hold a secret"),
        ({"headers": {"a b": "1"}}, 'headers["a b"]', "is no header's name"),
        ({"headers": {"a": "1\r\nb: 2"}}, "headers.a", "holds a line break"),
        ({"tenant_header": "X-Org"}, "tenants", "is missing"),
        ({"tenants": ["a", "b"]}, "tenant_header", "is missing"),
        ({"tenants": ["a", "a"], "tenant_header": "X"}, "tenants[1]", "is empty, or there already"),
        ({"limits": {"per_minut": 3}}, "limits.per_minut", "unknown key (did you mean per_minute?)"),
        ({"limits": {"concurrent": 0}}, "limits.concurrent", "must be at least 1"),
        ({"clients": {"acme": {"limit": 1}}}, "clients.acme.limit", "unknown key"),
        ({"raw_mode": "jsn"}, "raw_mode", "'jsn' is none of typed, json"),
    ],
)
def test_a_mistake_is_told_by_its_path(changes: dict[str, Any], path: str, text: str) -> None:
    found = mistakes(**changes)
    assert list(found) == [path]
    assert text in found[path]
    assert "hunter2" not in found[path]


@pytest.mark.parametrize(
    ("keys", "path", "text"),
    [
        ({"path": "https://other.example/x"}, "path", "must be below base_url"),
        ({"path": "x?a=1"}, "path", "must be below base_url"),
        ({"times": ["at", "$.at"]}, "times[1]", "is no field's name"),
        ({"params": {"a": {"b": 1}}}, "params.a", "must be text, a number, true or false, not an object"),
        ({"records": "$.a["}, "records", "is not a JSONPath"),
        ({"primary_key": ["id", "$["]}, "primary_key[1]", "is not a JSONPath"),
        ({"pagin": {}}, "pagin", "unknown key (did you mean paging?)"),
        ({"paging": {"kind": "page"}}, "paging.param", "is missing: the kind page needs it"),
        ({"paging": {"kind": "link", "link": "header:a b"}}, "paging.link", "names no header"),
        ({"paging": {"kind": "cursor", "param": "c", "cursor": "n", "pages": "p"}}, "paging.pages", "does not belong"),
        ({"paging": {"kind": "page", "param": "p", "size_param": "s"}}, "paging.size", "is missing"),
        ({"incremental": {}}, "incremental.header", "or param must say"),
        ({"incremental": {"param": "s", "format": "iso"}}, "incremental.format", "is none of http, epoch"),
        ({"incremental": {"param": "s", "start": "soon"}}, "incremental.start", "is not a time"),
        ({"incremental": {"param": "s", "format": ""}}, "incremental.cursor", "is missing"),
        ({"path": "a/{id}"}, "parent_fields", "has no id"),
        ({"parent": "e", "path": "a/{id}", "parent_fields": {"id": "id"}}, "parent", "leads back"),
        ({"parent": "f", "path": "a/{id}", "parent_fields": {"id": "id"}}, "parent", "'f' is no endpoint"),
        ({"path": "a/{id}", "parent_fields": {"id": "id"}}, "parent", "is missing"),
        ({"parent_fields": {"id": "id"}, "parent": "e"}, "parent_fields.id", "is nowhere"),
    ],
)
def test_a_mistake_in_an_endpoint_is_told_by_its_path(keys: dict[str, Any], path: str, text: str) -> None:
    found = of_endpoint(**keys)
    assert path in found
    assert text in found[path]


def test_a_mistake_in_the_defaults_is_told_once_and_of_one_endpoint_hides_no_other() -> None:
    found = mistakes(
        api="a b",
        endpoint_defaults={"paging": {"kind": "page"}},
        endpoints={"a": {}, "b": {"records": 3}, "c": {"recrods": "$"}},
    )
    assert sorted(found) == ["api", "endpoint_defaults.paging.param", "endpoints.b.records", "endpoints.c.recrods"]


def test_a_key_that_is_given_twice_is_a_mistake() -> None:
    text = json.dumps(document())[:-1] + ', "api": "y"}'
    with pytest.raises(DocumentError, match="api: is given more than once"):
        load_api(text, uri=URI)


def test_an_incremental_child_and_an_open_connection_are_warned_about() -> None:
    config = loaded(
        base_url="http://api.example",
        auth={"kind": "bearer", "password": "env:T"},
        endpoints={
            "p": {},
            "c": {"path": "{id}", "parent": "p", "parent_fields": {"id": "id"}, "incremental": {"param": "since"}},
        },
    )
    assert [each.split(":")[0] for each in config.warnings] == ["endpoints.c.incremental", "base_url"]


def test_notifications_are_those_of_other_pipelines() -> None:
    assert loaded(notifications={"slack": {"webhook": "env:HOOK"}}).notifications.slack is not None
    assert list(mistakes(notifications={"slack": {}})) == ["notifications.slack.webhook"]


def test_the_schema_knows_every_key_and_says_what_it_is_for() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == {field.alias or name for name, field in Document.model_fields.items()}
    for model in [schema, *schema["$defs"].values()]:
        assert model["additionalProperties"] is False
        assert all(key.get("description") for key in model["properties"].values())
    assert set(schema["$defs"]["Paging"]["properties"]) == {field.name for field in dataclasses.fields(Paging)}
    assert set(schema["$defs"]["Incremental"]["properties"]) == {
        field.name for field in dataclasses.fields(Incremental)
    }
    assert set(schema["$defs"]["Auth"]["properties"]) == {field.name for field in dataclasses.fields(Auth)}
