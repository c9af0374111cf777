"""The launch configuration: what it becomes, and every mistake by its path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Run
from tests.launches import DOCUMENT, JOBS, launch_config
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.launch_config import load_launches
from wharf.model.errors import UsageError
from wharf.model.json_document import DocumentError
from wharf.model.launching.config import load_launch_config
from wharf.model.launching.document import json_schema
from wharf.model.launching.environment import Environment

EXAMPLE = ROOT / "examples" / "launch" / "launch.json"


def mistakes(**changes: Any) -> dict[str, str]:
    """What is wrong with DOCUMENT with other keys; None takes one out."""
    document = {key: value for key, value in {**DOCUMENT, **changes}.items() if value is not None}
    with pytest.raises(DocumentError) as caught:
        load_launch_config(json.dumps(document), uri="launch.json")
    return {mistake.path: mistake.text for mistake in caught.value.mistakes}


def mistakes_of_job(**changes: Any) -> dict[str, str]:
    return mistakes(jobs={"measurements": {**JOBS["measurements"], **changes}})


def parameters(name: str, **changes: Any) -> dict[str, str]:
    """What is wrong with the parameters of a job of JOBS; None takes one out."""
    own = {key: value for key, value in {**JOBS[name]["parameters"], **changes}.items() if value is not None}
    found = mistakes(jobs={name: {**JOBS[name], "parameters": own}})
    return {path.removeprefix(f"jobs.{name}."): text for path, text in found.items()}


def test_the_example_is_read_whole() -> None:
    config = load_launches(str(EXAMPLE), Endpoints())
    assert config.uri == str(EXAMPLE)
    assert (config.project, config.region) == ("my-project", "europe-west1")
    assert config.template("bigquery_to_sftp") == "gs://my-project-wharf/templates/0.7.0/bigquery_to_sftp.json"
    assert {job.pipeline for job in config.jobs.values()} == {path.stem for path in (ROOT / "pipelines").glob("*_to_*")}
    assert config.job("measurements").environment == Environment(
        service_account="wharf-exports@my-project.iam.gserviceaccount.com",
        temp_location="gs://my-project-wharf/tmp",
        machine_type="n2-standard-4",
        max_workers=20,
        subnetwork="regions/europe-west1/subnetworks/dataflow",
        private_workers=True,
        labels={"team": "data", "env": "prod"},
    )
    assert str(config.tables.loads) == "my-project.bigquery_loads.serverless_bq_loads"
    assert config.notifications.slack
    assert config.notifications.on == ("failure",)
    assert config.warnings == ()


def test_what_terraform_reads_is_left_to_it() -> None:
    assert launch_config(deploy={"buckets": {"any": 1}, "schedules": []}) == launch_config()


def test_an_environment_is_completed_by_a_job_key_by_key() -> None:
    common = {"max_workers": 5, "labels": {"team": "data", "env": "dev"}, "private_workers": True, "network": "n"}
    own = {"max_workers": 9, "labels": {"env": "prod"}, "private_workers": False}
    jobs = {"a": {**JOBS["landed"], "environment": own}, "b": JOBS["landed"]}
    config = launch_config(environment=common, jobs=jobs)
    assert config.job("a").environment == Environment(
        max_workers=9, labels={"team": "data", "env": "prod"}, private_workers=False, network="n"
    )
    assert config.job("b").environment == config.environment


def test_values_that_are_no_text_become_what_a_template_takes() -> None:
    job = {**JOBS["landed"], "parameters": {"prefix": "gs://in", "max_jobs": 7, "ignore_unknown_values": True}}
    assert launch_config(jobs={"a": job}).job("a").parameters == {
        "prefix": "gs://in",
        "max_jobs": "7",
        "ignore_unknown_values": "true",
    }


def test_tables_are_where_the_pipelines_record_by_default() -> None:
    tables = launch_config().tables
    assert [str(table) for table in vars(tables).values()] == [
        "my-project.wharf.exports",
        "my-project.wharf.exports",
        "my-project.bigquery_loads.serverless_bq_loads",
        "my-project.wharf.api_fetches",
    ]


def test_a_table_is_where_a_job_records_or_what_tables_says() -> None:
    own = {**JOBS["measurements"]["parameters"], "metadata_table": "meta.runs"}
    jobs = {**JOBS, "measurements": {**JOBS["measurements"], "parameters": own}}
    assert str(launch_config(jobs=jobs).tables.exports) == "my-project.meta.runs"
    config = launch_config(jobs=jobs, tables={"exports": "other.meta.runs", "fetches": None})
    assert str(config.tables.exports) == "other.meta.runs"
    assert config.tables.fetches is None
    assert config.warnings == (
        "jobs.measurements.parameters.metadata_table: is not other.meta.runs, tables.exports: its runs are not shown",
    )


@pytest.mark.parametrize("key", ["project", "region", "templates", "records", "jobs"])
def test_what_is_missing_is_said(key: str) -> None:
    found = mistakes(**{key: None})
    assert list(found) == [key]
    assert found[key].startswith("is missing: ")


@pytest.mark.parametrize(
    ("changes", "path", "text"),
    [
        ({"jbos": {}}, "jbos", "unknown key (did you mean jobs?)"),
        ({"jobs": []}, "jobs", "is missing: "),
        ({"jobs": "x"}, "jobs", "must be an object, not text"),
        ({"templates": "/templates"}, "templates", "'/templates' is not understood: write one like gs://my-bucket"),
        ({"records": "s3://a/b"}, "records", "is neither gs://bucket/prefix nor a local folder"),
        ({"environment": {"max_workers": 0}}, "environment.max_workers", "must be at least 1"),
        ({"environment": {"labels": {"a": "B"}}}, "environment.labels.a", "'B' is no label: write"),
        ({"environment": {"labels": {"1a": "b"}}}, "environment.labels.1a", "'1a' is no label: write"),
        ({"environment": {"netwrok": ""}}, "environment.netwrok", "unknown key (did you mean network?)"),
        ({"tables": {"exports": "x"}}, "tables.exports", "'x' is not understood: write one like project.dataset.table"),
        ({"notifications": {"slack": {}}}, "notifications.slack.webhook", "is missing"),
        ({"region": 1}, "region", "must be text, not a number"),
    ],
)
def test_a_mistake_is_told_by_its_path(changes: dict[str, Any], path: str, text: str) -> None:
    found = mistakes(**changes)
    assert list(found) == [path]
    assert text in found[path]


@pytest.mark.parametrize(
    ("changes", "path", "text"),
    [
        ({"pipeline": None}, "pipeline", "is missing: one of bigquery_to_avro, "),
        ({"pipeline": "bigquery_to_arvo"}, "pipeline", "(did you mean bigquery_to_avro?)"),
        ({"paramters": {}}, "paramters", "unknown key (did you mean parameters?)"),
        ({"environment": {"machine": "x"}}, "environment.machine", "unknown key (did you mean machine_type?)"),
    ],
)
def test_a_mistake_in_a_job_is_told_by_its_path(changes: dict[str, Any], path: str, text: str) -> None:
    found = mistakes_of_job(**changes)
    assert list(found) == [f"jobs.measurements.{path}"]
    assert text in found[f"jobs.measurements.{path}"]


@pytest.mark.parametrize("name", ["Measurements", "1st", "a_b", "", "a" * 41, "a b", "ä", "a\n"])
def test_a_job_has_a_name_that_a_dataflow_job_may_have(name: str) -> None:
    assert ["is no name of a job" in text for text in mistakes(jobs={name: JOBS["landed"]}).values()] == [True]


@pytest.mark.parametrize(
    ("name", "changes", "path", "text"),
    [
        ("measurements", {"source_tabel": "a.b.c"}, ".source_tabel", "is no parameter of bigquery_to_avro (did you"),
        ("measurements", {"codec": "snapy"}, ".codec", "(did you mean snappy?)"),
        ("measurements", {"force": "yes"}, ".force", "'yes' is not one of true, false"),
        ("measurements", {"plan": "true"}, ".plan", "is no parameter of bigquery_to_avro"),
        ("measurements", {"output": "/tmp/x"}, ".output", "other machines can reach"),
        ("measurements", {"output": None}, "", "output is missing"),
        ("measurements", {"query": "SELECT 1"}, "", "give exactly one of source_table and query"),
        ("measurements", {"time_zone": "Mars/Olympus"}, ".time_zone", "'Mars/Olympus'"),
        ("measurements", {"when_read_from": "2025-03-01T00:00:00"}, "", "when_read_to is missing"),
        ("deliveries", {"config": None}, "", "config is missing"),
        ("deliveries", {"date": "2025-02-30"}, ".date", "'2025-02-30' is not understood"),
        ("landed", {"prefix": None}, "", "input"),
        ("landed", {"write_mode": "merge", "merge_keys": "a b"}, ".merge_keys", "is not understood"),
        ("xero-acme", {"config": "xero.json"}, ".config", "other machines can reach"),
    ],
)
def test_parameters_are_those_of_the_pipeline(name: str, changes: dict[str, Any], path: str, text: str) -> None:
    found = parameters(name, **changes)
    assert list(found) == [f"parameters{path}"]
    assert text in found[f"parameters{path}"]
    assert "--" not in found[f"parameters{path}"]


def test_mistakes_do_not_hide_one_another() -> None:
    jobs = {
        "a": {"pipeline": "files_to_bigquery", "parameters": {"prefx": "gs://in"}, "environment": {"max_workers": "1"}},
        "B": {"pipeline": "none"},
    }
    assert set(mistakes(region=None, jobs=jobs, tables={"x": "y"})) == {
        "region",
        "tables.x",
        "jobs.a.parameters.prefx",
        "jobs.a.environment.max_workers",
        "jobs.B",
        "jobs.B.pipeline",
    }


def test_a_key_given_twice_is_a_mistake() -> None:
    text = json.dumps(DOCUMENT).replace('"region": ', '"region": "x", "region": ')
    with pytest.raises(DocumentError, match="region: is given more than once"):
        load_launch_config(text, uri="launch.json")


def test_an_unknown_job_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no job 'measurement' \(did you mean measurements\?\); there are measur"):
        launch_config().job("measurement")


def test_every_key_has_a_description() -> None:
    schema = json_schema()
    models = {"": schema, **schema["$defs"]}
    undescribed = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, each in model["properties"].items()
        if not each.get("description")
    ]
    assert undescribed == []


def test_the_command_prints_the_schema(wharf: Run) -> None:
    result = wharf("config", "schema", "launch")
    assert result.returncode == 0
    schema = json.loads(result.stdout)
    assert schema == json_schema()
    assert set(json.loads(EXAMPLE.read_text())) <= set(schema["properties"])
    assert schema["required"] == ["project", "region", "templates", "records", "jobs"]


def test_the_command_sums_a_file_up(wharf: Run) -> None:
    result = wharf("config", "check", str(EXAMPLE))
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{EXAMPLE} is a valid configuration"
    assert "project    my-project, europe-west1" in lines
    assert "told of    jobs that die, by Slack" in lines
    assert (
        "bigquery_to_sftp   config=gs://my-project-wharf/config/exports.json, export_name=all; as wharf-"
        in result.stdout
    )
    facts = json.loads(wharf("config", "check", "--json", str(EXAMPLE)).stdout)
    assert facts["ok"]
    assert [job["name"] for job in facts["jobs"]] == ["measurements", "default", "landed", "xero-acme"]


def test_the_command_tells_all_mistakes(wharf: Run, tmp_path: Path) -> None:
    path = tmp_path / "launch.json"
    path.write_text(EXAMPLE.read_text().replace('"region"', '"regoin"').replace("replace_partition", "replace"))
    result = wharf("config", "check", str(path))
    assert result.returncode == 2
    assert result.stderr.splitlines()[1:] == [
        "  regoin: unknown key (did you mean region?)",
        "  region: is missing: the region that the jobs run in, such as europe-west1",
        (
            "  jobs.landed.parameters.write_mode: 'replace' is not one of append, replace_partition, "
            "replace_table, merge (did you mean replace_table?)"
        ),
    ]


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"none\.json: there is no such file"):
        load_launches("none.json", Endpoints())


def test_the_environment_names_the_file_and_the_stand_in() -> None:
    from wharf.connectors.endpoints import launch_config as named

    assert named({"WHARF_LAUNCH_CONFIG": "gs://b/launch.json"}) == "gs://b/launch.json"
    assert named({"WHARF_LAUNCH_CONFIG": ""}) is None
    endpoints = Endpoints.resolve(environ={"DATAFLOW_EMULATOR_HOST": "localhost:9070"})
    assert endpoints.dataflow == "http://localhost:9070"
    assert Endpoints.resolve(environ=endpoints.environment()) == endpoints
