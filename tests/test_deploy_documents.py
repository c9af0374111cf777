"""Environments, workflows and the runbook say what holds."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from wharf import __version__
from wharf.launch.cli import make_parser
from wharf.launch.parser import parse
from wharf.model.launching.config import LaunchConfig, load_launch_config

DEPLOY = ROOT / "deploy"
ENVIRONMENTS = sorted((DEPLOY / "environments").glob("*.json"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text()
README = (ROOT / "README.md").read_text()


def environment(path: Path) -> tuple[LaunchConfig, dict[str, Any]]:
    """The launch configuration, and Terraform's part."""
    text = path.read_text()
    return load_launch_config(text, uri=str(path)), json.loads(text)["deploy"]


def workflow(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return found


def commands(text: str) -> list[str]:
    """What follows the prompts of a document, continued lines joined."""
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = [
        line for block in blocks for line in re.sub(r"(\\|\|)\n +", r"\1 ", block).replace("\\ ", " ").splitlines()
    ]
    return [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ ")]


def wharf_commands(text: str) -> list[list[str]]:
    """The words of each `wharf` in a document's commands."""
    parts = [part.strip() for command in commands(text) for part in re.split(r'&&|[|;&<>]|eval "\$\(|\)"', command)]
    return [shlex.split(part, comments=True) for part in parts if part.startswith("wharf ")]


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_is_a_launch_configuration(path: Path) -> None:
    config, deploy = environment(path)
    assert config.warnings == ()
    assert deploy["location"]


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_is_of_one_version(path: Path) -> None:
    config, deploy = environment(path)
    assert config.templates.endswith(f"/templates/{__version__}")
    assert deploy["service_image"].endswith(f"/service:{__version__}")


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_what_an_environment_names_is_there(path: Path) -> None:
    config, deploy = environment(path)
    for schedule in deploy["schedules"].values():
        assert schedule["job"] in config.jobs
    known = {*deploy["buckets"], config.templates.split("/")[2], config.environment.temp_location.split("/")[2]}
    for job in config.jobs.values():
        for value in [*job.parameters.values(), job.environment.temp_location]:
            if value.startswith("gs://"):
                assert value.split("/")[2] in known, value
        assert job.environment.service_account.startswith(f"wharf-{job.pipeline.replace('_', '-')}@")
        if subscription := job.parameters.get("subscription"):
            landings = [name for name, each in deploy["landings"].items() if each["delivery"] == "stream"]
            assert subscription in [f"projects/{config.project}/subscriptions/wharf-landed-{name}" for name in landings]
            assert job.environment.temp_location != config.environment.temp_location, "its staged files would expire"
    for access in deploy["access"].values():
        assert {*access.get("read_buckets", []), *access.get("write_buckets", [])} <= known


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_nothing_that_may_change(path: Path) -> None:
    uses = re.findall(r"uses: *(\S+)", path.read_text())
    assert uses
    for action in uses:
        assert action.startswith("./") or re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_few_rights(path: Path) -> None:
    flow = yaml.safe_load(path.read_text())
    assert flow["permissions"] == {"contents": "read"}
    assert flow["concurrency"]["group"]
    for name, job in flow["jobs"].items():
        more = set(job.get("permissions", {}).items()) - {("contents", "read")}
        assert more <= {("id-token", "write")}, name
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            assert "${{" not in step.get("run", ""), "a shell line takes values from its environment only"


def test_checks_run_on_every_python_that_is_supported() -> None:
    matrix = workflow("check.yml")["jobs"]["check"]["strategy"]["matrix"]["python"]
    classified = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert matrix == classified


def test_a_release_deploys_every_environment_and_only_what_was_checked() -> None:
    jobs = workflow("release.yml")["jobs"]
    assert jobs["deploy"]["needs"] == "check"
    assert jobs["deploy"]["strategy"]["matrix"]["environment"] == [path.stem for path in ENVIRONMENTS]
    assert jobs["deploy"]["strategy"]["max-parallel"] == 1
    assert jobs["deploy"]["environment"] == "${{ matrix.environment }}"


def test_every_wharf_command_of_workflows_and_documents_is_understood() -> None:
    runs = [
        step["run"]
        for job in workflow("release.yml")["jobs"].values()
        for step in job.get("steps", [])
        if "run" in step
    ]
    released = "```console\n" + "\n".join(f"$ {line.strip()}" for run in runs for line in run.splitlines()) + "\n```"
    found = wharf_commands(RUNBOOK) + wharf_commands(README)
    assert len(found) > 50
    for words in found + [words for words in wharf_commands(released) if words[1] != "--version"]:
        try:
            arguments = parse(make_parser(), words[1:])
        except Exception as error:
            raise AssertionError(f"{shlex.join(words)}: {error}") from error
        assert callable(arguments.run), words


def test_every_link_of_the_runbook_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", RUNBOOK):
        assert (DEPLOY / link).exists(), link
    headings = re.findall(r"^#+ (.*)$", RUNBOOK, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= anchors


def test_alerts_name_sections_of_the_runbook() -> None:
    monitoring = (DEPLOY / "terraform" / "monitoring.tf").read_text()
    named = re.findall(r"\$\{var\.runbook\}, ([^.]+)\.", monitoring)
    assert len(named) == 4
    for section in named:
        assert f"\n## {section}\n" in RUNBOOK
    for alert in re.findall(r'display_name += "\$\{var\.name\}: ([a-z ]+)"', monitoring):
        assert f"`{alert}`" in RUNBOOK, alert


def test_the_runbook_names_things_as_terraform_does() -> None:
    _, deploy = environment(DEPLOY / "environments" / "prod.json")
    schedules = {f"wharf-{name}" for name in deploy["schedules"]}
    assert set(re.findall(r"scheduler jobs (?:run|describe) (\S+)", RUNBOOK)) <= schedules
    secrets = {
        name
        for access in deploy["access"].values()
        for kind in ("secrets", "rotated_secrets")
        for name in access.get(kind, [])
    }
    assert set(re.findall(r"secrets versions (?:add|list) (\S+)", RUNBOOK)) <= secrets
    for variable in re.findall(r"-var ([a-z_]+)=", RUNBOOK):
        assert f'variable "{variable}"' in (DEPLOY / "terraform" / "example" / "variables.tf").read_text()
    for path in re.findall(r"(?:--file|--config|-chdir=) ?(deploy/\S+)", RUNBOOK):
        assert (ROOT / path).exists(), path
