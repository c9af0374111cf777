"""Templates: what their metadata says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from wharf.model.flags import Flag
from wharf.model.launching.pipelines import PIPELINES, Pipeline
from wharf.model.launching.template import metadata, parameter, specification, text

IMAGE = "eu.gcr.io/my-project/wharf:1-x"
EACH = pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=lambda pipeline: pipeline.name)


@EACH
def test_parameters_are_the_flags_that_make_sense_on_dataflow(pipeline: Pipeline) -> None:
    named = [found["name"] for found in metadata(pipeline)["parameters"]]
    assert named == [flag.name for flag in pipeline.flags if flag.name != "plan"]
    assert len(set(named)) == len(named)


@EACH
def test_everything_a_form_shows_is_there(pipeline: Pipeline) -> None:
    found = metadata(pipeline)
    assert found["name"]
    assert found["description"].endswith(".")
    for said in found["parameters"]:
        assert re.fullmatch(r"[A-Z][A-Za-z ]+", said["label"]), said
        assert re.match(r"[A-Z]", said["helpText"]), said
        assert "--" not in said["helpText"], said
        assert ("groupName" in said) != ("parentName" in said), said
        assert said.get("groupName") != "", said
    assert len({said["label"] for said in found["parameters"]}) == len(found["parameters"])


@EACH
def test_a_parameter_that_hangs_on_another_comes_behind_it_and_knows_its_values(pipeline: Pipeline) -> None:
    before: dict[str, Flag] = {}
    for flag in pipeline.flags:
        if flag.parent:
            assert flag.parent in before
            assert set(flag.parent_values) <= set(before[flag.parent].values)
        before[flag.name] = flag


@EACH
def test_values_with_a_default_are_optional_and_choices_are_words(pipeline: Pipeline) -> None:
    for flag in pipeline.flags:
        assert not (flag.required and (flag.default or flag.is_switch)), flag.name
        assert all(re.fullmatch(r"[A-Za-z0-9_-]+", choice) for choice in flag.choices), flag.name


def test_only_what_reads_a_subscription_may_stream() -> None:
    streaming = {name: metadata(pipeline) for name, pipeline in PIPELINES.items() if metadata(pipeline)["streaming"]}
    assert streaming.keys() == {"files_to_bigquery"}
    assert streaming["files_to_bigquery"]["defaultStreamingMode"] == "EXACTLY_ONCE"
    assert not any("defaultStreamingMode" in metadata(PIPELINES[name]) for name in PIPELINES.keys() - streaming.keys())


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (
            Flag(name="when_read", help="a time; see --period", example="now", group="Window"),
            {
                "name": "when_read",
                "label": "When read",
                "helpText": "A time; see period. For example: now",
                "isOptional": True,
                "paramType": "TEXT",
                "groupName": "Window",
            },
        ),
        (
            Flag(name="mode", help="how", default="a", choices=("a", "b"), parent="x", parent_values=("y",)),
            {
                "name": "mode",
                "label": "Mode",
                "helpText": "How.",
                "isOptional": True,
                "regexes": ["^(a|b)$"],
                "paramType": "ENUM",
                "enumOptions": [{"value": "a", "label": "a"}, {"value": "b", "label": "b"}],
                "defaultValue": "a",
                "parentName": "x",
                "parentTriggerValues": ["y"],
            },
        ),
        (
            Flag(name="force", help="go on", is_switch=True, group="Run"),
            {
                "name": "force",
                "label": "Force",
                "helpText": "Go on.",
                "isOptional": True,
                "regexes": ["^(true|false)$"],
                "paramType": "BOOLEAN",
                "defaultValue": "false",
                "groupName": "Run",
            },
        ),
        (
            Flag(name="out", help="where", remote="gs://.+", param_type="GCS_WRITE_FOLDER", required=True, group="G"),
            {
                "name": "out",
                "label": "Out",
                "helpText": "Where.",
                "regexes": ["^(gs://.+)$"],
                "paramType": "GCS_WRITE_FOLDER",
                "groupName": "G",
            },
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Flag) else "",
)
def test_a_parameter_says_what_its_flag_does(flag: Flag, expected: dict[str, Any]) -> None:
    assert parameter(flag) == expected


@EACH
@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed")
def test_gcloud_makes_the_same_of_the_metadata(pipeline: Pipeline, tmp_path: Path) -> None:
    """It refuses what Dataflow's API does not know, and leaves out some of what it does; so Wharf uploads its own."""
    command = ["gcloud", "dataflow", "flex-template", "build", "gs://my-bucket/x.json", "--print-only"]
    command += ["--image", IMAGE, "--sdk-language", "PYTHON", "--metadata-file", f"{tmp_path}/metadata.json"]
    (tmp_path / "metadata.json").write_text(text(pipeline))
    environment = os.environ | {"CLOUDSDK_CONFIG": str(tmp_path), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    command += ["--format=value(.)"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    made, ours = json.loads(ended.stdout), specification(pipeline, IMAGE)
    assert made["metadata"].items() <= ours["metadata"].items()
    assert {"name", "description", "parameters"} <= made["metadata"].keys()
    assert (made["image"], made["sdkInfo"]) == (ours["image"], ours["sdkInfo"])
