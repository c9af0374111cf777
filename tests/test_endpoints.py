"""Endpoints: flags and emulator variables become one value, and that value becomes clients."""

from __future__ import annotations

import pickle

import pytest

from wharf.connectors.endpoints import Endpoints, as_url, is_loopback
from wharf.model.errors import UsageError

EMULATORS = {
    "BIGQUERY_EMULATOR_HOST": "http://localhost:1",
    "BIGQUERY_STORAGE_EMULATOR_HOST": "localhost:2",
    "STORAGE_EMULATOR_HOST": "http://localhost:3",
}


def test_an_empty_environment_means_the_public_services() -> None:
    assert Endpoints.resolve(environ={}) == Endpoints()


def test_the_emulator_variables_are_followed() -> None:
    assert Endpoints.resolve(environ=EMULATORS) == Endpoints(
        bigquery="http://localhost:1",
        bigquery_storage="localhost:2",
        storage="http://localhost:3",
        bigquery_emulated=True,
        bigquery_storage_emulated=True,
    )


def test_hosts_may_come_with_or_without_a_scheme() -> None:
    swapped = {
        "BIGQUERY_EMULATOR_HOST": "localhost:1",
        "BIGQUERY_STORAGE_EMULATOR_HOST": "http://localhost:2/",
        "STORAGE_EMULATOR_HOST": "localhost:3",
    }
    assert Endpoints.resolve(environ=swapped) == Endpoints.resolve(environ=EMULATORS)


def test_a_flag_wins_over_the_variables() -> None:
    endpoints = Endpoints.resolve(
        bigquery="https://bigquery.example", bigquery_storage="storage.example:443", environ=EMULATORS
    )
    assert endpoints.bigquery == "https://bigquery.example"
    assert endpoints.bigquery_storage == "storage.example:443"
    assert not endpoints.bigquery_emulated
    assert not endpoints.bigquery_storage_emulated


def test_a_private_host_without_a_scheme_is_reached_over_tls() -> None:
    endpoints = Endpoints.resolve(bigquery="bigquery.example", environ={})
    assert endpoints.bigquery == "https://bigquery.example"


def test_a_flag_that_names_this_machine_is_an_emulator() -> None:
    endpoints = Endpoints.resolve(bigquery="localhost:1", bigquery_storage="127.0.0.1:2", environ={})
    assert endpoints.bigquery == "http://localhost:1"
    assert endpoints.bigquery_emulated
    assert endpoints.bigquery_storage_emulated


@pytest.mark.parametrize("alone", ["BIGQUERY_EMULATOR_HOST", "BIGQUERY_STORAGE_EMULATOR_HOST"])
def test_half_an_emulator_is_refused(alone: str) -> None:
    with pytest.raises(UsageError, match=r"both be emulated or both be real"):
        Endpoints.resolve(environ={alone: EMULATORS[alone]})


def test_the_environment_makes_the_same_value_again() -> None:
    endpoints = Endpoints.resolve(environ=EMULATORS)
    assert Endpoints.resolve(environ=endpoints.environment()) == endpoints


def test_a_pubsub_emulator_is_handed_on() -> None:
    endpoints = Endpoints.resolve(environ={"PUBSUB_EMULATOR_HOST": "http://localhost:4"})
    assert endpoints == Endpoints(pubsub="localhost:4")
    assert endpoints.environment() == {"PUBSUB_EMULATOR_HOST": "localhost:4"}
    assert Endpoints.resolve(environ={"PUBSUB_EMULATOR_HOST": ""}) == Endpoints()


def test_real_services_leave_no_variables() -> None:
    assert Endpoints(bigquery="https://bigquery.example").environment() == {}


def test_a_value_travels_to_workers() -> None:
    endpoints = Endpoints.resolve(environ=EMULATORS)
    assert pickle.loads(pickle.dumps(endpoints)) == endpoints


def test_clients_of_emulators_need_no_credentials() -> None:
    endpoints = Endpoints.resolve(environ=EMULATORS)
    assert endpoints.bigquery_client("demo-project").project == "demo-project"
    assert endpoints.storage_client().bucket("demo-bucket").name == "demo-bucket"
    endpoints.read_client()


@pytest.mark.parametrize(
    ("host", "url"),
    [("a:1", "http://a:1"), ("https://a", "https://a"), ("", ""), (None, None)],
)
def test_a_host_becomes_a_url_once(host: str | None, url: str | None) -> None:
    assert as_url(host, "http") == url


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "http://127.0.0.1:1/x", "[::1]:1"])
def test_this_machine_is_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", [None, "", "localhost.example:1", "https://bigquery.example"])
def test_other_machines_are_not_taken_for_this_one(host: str | None) -> None:
    assert not is_loopback(host)
