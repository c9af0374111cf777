"""What is asked for, in all the ways there are, and the one run that it means."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.launches import JOBS, launch_config
from wharf.model.errors import UsageError
from wharf.model.launching.launch import Launch
from wharf.model.launching.pipelines import PIPELINES
from wharf.model.launching.requests import (
    canonical,
    delivery_request,
    export_request,
    fetch_request,
    request_of,
    storage_request,
)
from wharf.model.loading.batch import LandedFile
from wharf.model.loading.landing import landings, matches, selected
from wharf.model.windows import Window

NOW = dt.datetime(2025, 4, 2, 3, 30, tzinfo=dt.UTC)
CONFIG = launch_config()
BERLIN = {**JOBS["measurements"]["parameters"], "time_zone": "Europe/Berlin"}


def config_of(**jobs: dict[str, Any]) -> Any:
    return launch_config(jobs={name.replace("_", "-"): job for name, job in jobs.items()})


def export(body: dict[str, Any], key: str = "") -> Launch:
    return export_request(CONFIG, body, now=NOW, key=key)


def test_a_month_is_one_run_however_it_is_asked_for() -> None:
    march = export({"period": "202503"})
    assert march == Launch(
        pipeline="bigquery_to_avro",
        name="measurements",
        parameters={
            **JOBS["measurements"]["parameters"],
            "when_read_from": "2025-03-01T00:00:00",
            "when_read_to": "2025-04-01T00:00:00",
        },
        window="20250301-20250401",
    )
    same = [
        export({}),  # the previous month
        export({"when_read_from": "2025-03-01T00:00:00", "when_read_to": "2025-04-01T00:00:00"}),
        export({"name": "measurements", "period": "202503"}),
        request_of(CONFIG, "measurements", {"period": "202503"}, now=NOW),
        replace(export({"period": "202503", "force": True}), force=False),
    ]
    assert [launch.identity for launch in same] == [march.identity] * 5
    assert export({"period": "202503", "force": True}).force
    assert march.run_id.startswith("measurements-20250301-20250401-")
    assert march.job_name(2) == f"{march.run_id}-2"


def test_keys_do_not_make_another_run_of_a_window() -> None:
    assert export({"period": "202503"}, "one").identity == export({"period": "202503"}, "two").identity
    assert export({"period": "202503"}, "one").key == "one"


def test_times_of_day_and_zones_are_in_the_window() -> None:
    hours = {"when_read_from": "2025-03-01T06:00:00", "when_read_to": "2025-03-01T12:00:00"}
    assert export(hours).window == "20250301T060000-20250301T120000"
    berlin = config_of(a={**JOBS["measurements"], "parameters": BERLIN})
    launch = export_request(berlin, {"period": "202503"}, now=NOW)
    assert launch.window == "20250301-20250401-Europe/Berlin"
    assert launch.run_id.startswith("a-20250301-20250401-europe-berlin-")
    # Half past midnight of the first of April there is still March elsewhere.
    border = dt.datetime(2025, 3, 31, 22, 30, tzinfo=dt.UTC)
    assert export_request(berlin, {}, now=border).window == "20250301-20250401-Europe/Berlin"
    assert export_request(CONFIG, {}, now=border).window == "20250201-20250301"


def test_a_requests_window_goes_before_the_jobs_own() -> None:
    own = {**JOBS["measurements"]["parameters"], "period": "202401"}
    config = config_of(a={**JOBS["measurements"], "parameters": own})
    assert export_request(config, {}, now=NOW).window == "20240101-20240201"
    assert export_request(config, {"period": "202503"}, now=NOW).window == "20250301-20250401"
    hours = {"when_read_from": "2025-03-01T06:00:00", "when_read_to": "2025-03-01T12:00:00"}
    assert "period" not in export_request(config, hours, now=NOW).parameters


@given(
    st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)),
    st.timedeltas(dt.timedelta(seconds=1), dt.timedelta(days=400)),
)
def test_different_windows_are_different_words(start: dt.datetime, length: dt.timedelta) -> None:
    start, length = start.replace(microsecond=0), dt.timedelta(seconds=length // dt.timedelta(seconds=1))
    end = start + min(length, dt.datetime(9999, 12, 31) - start)
    text = canonical(Window(start, end))
    first, _, last = text.partition("-")
    assert (dt.datetime.fromisoformat(first), dt.datetime.fromisoformat(last)) == (start, end)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"periode": "202503"}, "periode: unknown field (did you mean period?)"),
        ({"export_name": "x"}, "export_name: unknown field"),
        ({"period": 202503}, "period: must be text, not a number"),
        ({"period": "2025-03"}, "period: '2025-03' is not understood"),
        ({"period": "202513"}, "period: '202513' is not "),
        ({"period": "202503", "when_read_from": "2025-03-01T00:00:00"}, "give period or when_read_from and"),
        ({"when_read_from": "2025-03-01T00:00:00"}, "when_read_to is missing"),
        ({"when_read_from": "yesterday", "when_read_to": "2025-04-01T00:00:00"}, "when_read_from: 'yesterday' is not "),
        (
            {"when_read_from": "2025-04-01T00:00:00", "when_read_to": "2025-03-01T00:00:00"},
            "when_read_from 2025-04-01T00:00:00 is not before when_read_to 2025-03-01T00:00:00",
        ),
        ({"force": "true"}, "force: must be true or false, not text"),
        (
            {"name": "measurement"},
            "name: there is no job 'measurement' of bigquery_to_avro (did you mean measurements?)",
        ),
        ({"name": "landed"}, "name: there is no job 'landed' of bigquery_to_avro"),
    ],
)
def test_a_wrong_export_is_refused_by_the_fields_name(body: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as refused:
        export(body)
    assert text in str(refused.value)
    assert "--" not in str(refused.value)


def test_a_job_is_the_one_that_is_named_the_only_one_or_the_default() -> None:
    one = JOBS["measurements"]
    with pytest.raises(UsageError, match="name: is missing: there are a, b"):
        export_request(config_of(a=one, b=one), {}, now=NOW)
    assert export_request(config_of(a=one, b=one), {"name": "b"}, now=NOW).name == "b"
    assert export_request(config_of(a=one, default=one), {}, now=NOW).name == "default"
    with pytest.raises(UsageError, match=r"name: launch\.json has no job of bigquery_to_avro"):
        export_request(config_of(a=JOBS["landed"]), {}, now=NOW)


def delivery(body: dict[str, Any], key: str = "", **jobs: Any) -> Launch:
    return delivery_request(config_of(**jobs) if jobs else CONFIG, body, now=NOW, key=key)


def test_a_delivery_of_a_date_is_one_run() -> None:
    launch = delivery({"export_name": "orders", "date": "2025-03-02"}, "one")
    assert launch == Launch(
        pipeline="bigquery_to_sftp",
        name="deliveries",
        parameters={"config": "gs://my-bucket/exports.json", "export_name": "orders", "date": "2025-03-02"},
        window="20250302",
        key="one",
    )
    assert delivery({"export_name": "customers", "date": "2025-03-02"}).identity != launch.identity


def test_a_delivery_without_a_date_is_one_run_of_its_key() -> None:
    first, second = delivery({"export_name": "all"}, "one"), delivery({"export_name": "all"}, "two")
    assert (first.window, first.is_once) == ("", True)
    assert first.identity != second.identity
    assert not delivery({"export_name": "all"}).is_once


def test_a_delivery_may_name_a_job_that_says_the_rest() -> None:
    nightly = {**JOBS["deliveries"], "parameters": {**JOBS["deliveries"]["parameters"], "export_name": "all"}}
    launch = delivery({"config": "default"}, default=nightly, other=JOBS["deliveries"])
    assert (launch.name, launch.parameters["export_name"]) == ("default", "all")
    assert delivery({"name": "other", "export_name": "x"}, default=nightly, other=JOBS["deliveries"]).name == "other"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "export_name: is missing: name exports, or all"),
        ({"date": "2025-03-02"}, "export_name: is missing"),
        ({"export_name": "a", "date": "2025-02-30"}, "date: '2025-02-30' is not "),
        ({"export_name": "a", "date": "02.03.2025"}, "date: '02.03.2025' is not "),
        ({"export_name": ["a"]}, "export_name: must be text, not a list"),
        ({"config": "defualt", "export_name": "a"}, "config: there is no job 'defualt' of bigquery_to_sftp"),
        ({"config": "deliveries", "name": "deliveries"}, "name: and config are two names for the job"),
        ({"period": "202503"}, "period: unknown field"),
    ],
)
def test_a_wrong_delivery_is_refused_by_the_fields_name(body: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as refused:
        delivery(body)
    assert str(refused.value).startswith(text)


def fetch(body: dict[str, Any], **jobs: Any) -> Launch:
    return fetch_request(config_of(**jobs) if jobs else CONFIG, body, now=NOW)


def test_a_fetch_is_of_a_job_and_of_endpoints() -> None:
    launch = fetch({"endpoints": ["Invoices", "Contacts"], "full": True})
    own = JOBS["xero-acme"]["parameters"]
    assert (launch.name, launch.window) == ("xero-acme", "")
    assert launch.parameters == {**own, "endpoints": "Invoices,Contacts", "full": "true"}
    assert fetch({"endpoints": "Invoices,Contacts", "full": True}) == launch
    assert fetch({}).parameters == own


def test_what_a_request_says_of_a_default_makes_no_other_run() -> None:
    assert fetch({"full": False}).identity == fetch({}).identity
    acme = {**JOBS["xero-acme"], "parameters": {**JOBS["xero-acme"]["parameters"], "full": True}}
    assert "full" not in fetch({"full": False}, acme=acme).parameters, "it says something else than its job"
    assert fetch({}, acme=acme).parameters["full"] == "true"


def test_a_client_finds_its_job() -> None:
    acme, any_client = JOBS["xero-acme"], {"pipeline": "api_to_bigquery", "parameters": {"config": "gs://b/any.json"}}
    bolt = {"pipeline": "api_to_bigquery", "parameters": {"config": "gs://b/xero.json", "client_name": "bolt"}}
    assert fetch({"client_name": "bolt"}, acme=acme, bolt=bolt).name == "bolt"
    launch = fetch({"client_name": "cog"}, acme=acme, rest=any_client)
    assert (launch.name, launch.parameters["client_name"]) == ("rest", "cog")
    with pytest.raises(UsageError, match=r"client_name: no job fetches for 'blot' \(did you mean bolt\?\)"):
        fetch({"client_name": "blot"}, acme=acme, bolt=bolt)
    with pytest.raises(UsageError, match="name: is missing: one, two fetch for bolt"):
        fetch({"client_name": "bolt"}, one=bolt, two=bolt)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"endpoints": ["a,b"]}, "endpoints: must be a list of names"),
        ({"endpoints": [1]}, "endpoints: must be a list of names"),
        ({"endpoints": {}}, "endpoints: must be text, not an object"),
        ({"full": "yes"}, "full: must be true or false"),
        ({"client": "acme"}, "client: unknown field (did you mean client_name?)"),
    ],
)
def test_a_wrong_fetch_is_refused_by_the_fields_name(body: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as refused:
        fetch(body)
    assert str(refused.value).startswith(text)


def landed(name: str, generation: str = "7", **jobs: Any) -> Launch | None:
    return storage_request(config_of(**jobs) if jobs else CONFIG, "in", name, generation, now=NOW)


def test_a_marker_is_a_load_of_exactly_its_batch() -> None:
    launch = landed("sales/orders/2025-03-01/_SUCCESS")
    assert launch
    assert launch.parameters == {"prefix": "gs://in/", "input": "gs://in/sales/orders/2025-03-01/_SUCCESS"}
    names = [
        *("sales/orders/2025-03-01/a.csv", "sales/orders/2025-03-01/_SUCCESS"),
        *("sales/orders/2025-03-01/eu/b.csv", "sales/orders/2025-03-01/eu/_SUCCESS"),
        *("sales/orders/2025-03-01x/c.csv", "sales/orders/2025-03-01x/_SUCCESS"),
    ]
    files = [LandedFile(f"gs://in/{name}", 1, 1, NOW) for name in names]
    batches = [batch for batch in landings(files, "_SUCCESS") if selected(batch, launch.parameters["input"])]
    assert [batch.directory for batch in batches] == ["gs://in/sales/orders/2025-03-01/"]


@pytest.mark.parametrize("name", ["a[1]/_SUCCESS", "a*/?/_SUCCESS", "a]b/_SUCCESS", "[!a]/**/_SUCCESS", "ä ö/_SUCCESS"])
def test_letters_that_mean_something_in_patterns_mean_themselves(name: str) -> None:
    launch = landed(name)
    assert launch
    assert matches(launch.parameters["input"], f"gs://in/{name}")
    assert not matches(launch.parameters["input"], "gs://in/aX/Y/_SUCCESS")


def test_an_object_is_loaded_once_and_its_next_generation_again() -> None:
    first, again, next_ = landed("a/_SUCCESS"), landed("a/_SUCCESS"), landed("a/_SUCCESS", "8")
    assert first
    assert again
    assert next_
    assert first.is_once
    assert first.identity == again.identity != next_.identity


@pytest.mark.parametrize(
    "name", ["a/b.csv", "_SUCCESS/a.csv", "a/SUCCESS", "a/_tmp/_SUCCESS", ".hidden/_SUCCESS", "a/"]
)
def test_an_object_that_completes_nothing_launches_nothing(name: str) -> None:
    assert landed(name) is None


def test_an_object_elsewhere_launches_nothing() -> None:
    assert storage_request(CONFIG, "other", "a/_SUCCESS", "1", now=NOW) is None
    assert storage_request(config_of(a=JOBS["measurements"]), "in", "a/_SUCCESS", "1", now=NOW) is None


def test_the_job_with_the_longest_prefix_that_is_completed_loads() -> None:
    def job(**parameters: str) -> dict[str, Any]:
        return {"pipeline": "files_to_bigquery", "parameters": parameters}

    jobs = {
        "all": job(prefix="gs://in"),
        "sales": job(input="gs://in/sales/**", success_file="_DONE"),
        "singles": job(prefix="gs://in/single/", success_file="none"),
        "stream": job(prefix="gs://in/sales/", subscription="projects/project/subscriptions/s"),
    }
    names = {name: landed(name, **jobs) for name in ("a/_SUCCESS", "sales/_DONE", "sales/_SUCCESS", "single/a.csv")}
    assert {name: launch and launch.name for name, launch in names.items()} == {
        "a/_SUCCESS": "all",
        "sales/_DONE": "sales",
        "sales/_SUCCESS": "all",
        "single/a.csv": "singles",
    }


def test_a_job_that_loads_what_lands_loads_everything_when_it_is_asked_for_by_name() -> None:
    assert request_of(CONFIG, "landed", {}, now=NOW).parameters == {"prefix": "gs://in/", "input": "gs://in/**"}
    assert request_of(CONFIG, "landed", {"input": "gs://in/a/**"}, now=NOW).parameters["input"] == "gs://in/a/**"


@pytest.mark.parametrize(
    ("name", "parameters", "text"),
    [
        ("measurements", {"perod": "202503"}, "--perod: bigquery_to_avro has no such parameter (did you mean period?)"),
        ("measurements", {"output": "out"}, "--output: 'out' is nothing that other machines can reach"),
        ("measurements", {"plan": "true"}, "--plan: bigquery_to_avro has no such parameter"),
        ("xero-acme", {"raw_mode": "none"}, "--raw_mode: 'none' is not"),
        ("measurments", {}, "there is no job 'measurments' (did you mean measurements?)"),
    ],
)
def test_a_command_line_is_told_the_flag(name: str, parameters: dict[str, str], text: str) -> None:
    with pytest.raises(UsageError) as refused:
        request_of(CONFIG, name, parameters, now=NOW)
    assert str(refused.value).startswith(text)


def test_force_is_the_request_and_no_parameter() -> None:
    launch = request_of(CONFIG, "measurements", {"force": "true", "period": "202503"}, now=NOW)
    assert launch.force
    assert "force" not in launch.parameters
    assert launch.identity == request_of(CONFIG, "measurements", {"period": "202503"}, now=NOW).identity


@given(
    st.dictionaries(
        st.sampled_from(["period", "name", "force", "when_read_from", "when_read_to", "x", "date", "export_name"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text()), st.just("202503")),
    )
)
def test_whatever_is_sent_is_a_run_or_a_usage_error(body: dict[str, Any]) -> None:
    for request in (export_request, delivery_request, fetch_request):
        try:
            launch = request(CONFIG, body, now=NOW)
        except UsageError:
            continue
        assert launch.parameters.keys() <= {flag.name for flag in PIPELINES[launch.pipeline].flags}
        json.dumps(launch.parameters)


@given(st.text(), st.text(), st.text())
def test_a_run_has_a_name_that_dataflow_takes(name: str, window: str, key: str) -> None:
    launch = Launch(pipeline="p", name=name, window=window, key=key)
    for attempt in (1, 2, 99, 99_999):
        job_name = launch.job_name(attempt)
        assert len(job_name) <= 63
        # https://cloud.google.com/dataflow/docs/guides/setting-pipeline-options
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", job_name)
