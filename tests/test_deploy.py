"""The Terraform module hangs together, and is in step with the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import hcl2
import pytest

from tests.conftest import ROOT
from wharf.launch.service import incidents
from wharf.launch.service.events import Job as EndedJob
from wharf.model.errors import UsageError
from wharf.model.flags import Flag
from wharf.model.launching.environment import Environment
from wharf.model.launching.pipelines import PIPELINES
from wharf.model.launching.terraform import LEDGER, generated

MODULE = ROOT / "deploy" / "terraform"
ROOTS = {"module": MODULE, "parameters": MODULE / "parameters", "example": MODULE / "example"}
ALWAYS_ALLOWED = {"roles/dataflow.worker", "roles/bigquery.jobUser"}
PROJECT_ROLES = {
    "bigquery_to_avro": ALWAYS_ALLOWED | {"roles/bigquery.readSessionUser"},
    "bigquery_to_sftp": ALWAYS_ALLOWED | {"roles/bigquery.readSessionUser"},
    "files_to_bigquery": ALWAYS_ALLOWED,
    "api_to_bigquery": ALWAYS_ALLOWED,
    "service": {"roles/dataflow.developer", "roles/bigquery.jobUser"},
}
# Of one dataset, bucket, secret, account, repository, topic, subscription or service.
GRANTED = {
    "roles/artifactregistry.reader",
    "roles/artifactregistry.writer",
    "roles/bigquery.dataEditor",
    "roles/bigquery.dataViewer",
    "roles/iam.serviceAccountTokenCreator",
    "roles/iam.serviceAccountUser",
    "roles/iam.workloadIdentityUser",
    "roles/pubsub.publisher",
    "roles/pubsub.subscriber",
    "roles/pubsub.viewer",
    "roles/run.developer",
    "roles/run.invoker",
    "roles/secretmanager.secretAccessor",
    "roles/secretmanager.secretVersionAdder",
    "roles/storage.objectUser",
    "roles/storage.objectViewer",
}
ODD_VALUES = (
    "",
    "x",
    "a b",
    "a`b",
    "a,b",
    "a,,b",
    "-1",
    "0",
    "007",
    "20253",
    "2025-3-1",
    "gs://",
    "gs://b",
    "p.d.t",
    "TRUE",
)

needs_terraform = pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not installed")


def terraform(directory: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "PATH": str(Path(shutil.which("terraform") or "").parent),
    }
    command = ["terraform", *words]
    return subprocess.run(
        command, cwd=directory, env=environment, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


def files(root: Path) -> list[Path]:
    return sorted(root.glob("*.tf"))


def text(root: Path) -> str:
    return "\n".join(path.read_text() for path in files(root))


def blocks(root: Path, kind: str) -> dict[str, Any]:
    """The blocks of a kind in a module by their (last) label."""
    found: dict[str, Any] = {}
    for path in files(root):
        with path.open() as file:
            for block in hcl2.load(file).get(kind, []):
                found |= {label.strip('"'): content for label, content in block.items()}
    return found


def resources(root: Path) -> list[tuple[str, str, Any]]:
    found = []
    for path in files(root):
        with path.open() as file:
            for block in hcl2.load(file).get("resource", []):
                for kind, named in block.items():
                    found += [(kind.strip('"'), name.strip('"'), content) for name, content in named.items()]
    return found


def test_every_file_is_terraform() -> None:
    found = [path for path in MODULE.rglob("*") if path.suffix in {".tf", ".hcl"} and ".terraform" not in path.parts]
    assert len(found) > 15
    for path in found:
        with path.open() as file:
            assert hcl2.load(file), path


@needs_terraform
def test_files_are_formatted() -> None:
    formatted = terraform(MODULE, "fmt", "-check", "-recursive")
    assert formatted.returncode == 0, f"run `terraform fmt -recursive deploy/terraform`: {formatted.stdout}"


@pytest.mark.parametrize("root", ROOTS.values(), ids=ROOTS)
def test_variables_are_described_and_used(root: Path) -> None:
    declared = blocks(root, "variable")
    used = set(re.findall(r"\bvar\.(\w+)", text(root)))
    assert used == declared.keys()
    for name, variable in declared.items():
        assert len(variable["description"]) > 10, name
        assert variable["type"], name
    for name, output in blocks(root, "output").items():
        assert len(output["description"]) > 10, name


def test_the_example_gives_the_module_inputs_that_it_has() -> None:
    inputs = blocks(ROOTS["example"], "module")["wharf"].keys() - {"source", "__is_block__"}
    assert inputs == blocks(MODULE, "variable").keys()


def test_the_example_reads_the_keys_that_it_allows() -> None:
    example = text(ROOTS["example"])
    read = set(re.findall(r"local\.deploy\.(\w+)", example))
    allowed = re.search(r"setsubtract\(.*?\[(.*?)\]\)\)", example.replace("deploy), [])", "deploy))"), re.DOTALL)
    assert allowed
    assert set(re.findall(r'"(\w+)"', allowed[1])) == read


def test_generated_files_are_in_step() -> None:
    """To renew them: wharf templates build"""
    for path, content in generated().items():
        assert (ROOT / path).read_text() == content, path
    assert {path.stem for path in (MODULE / "ledger").iterdir()} == LEDGER.keys()


def test_a_ledger_table_is_what_the_pipelines_would_make() -> None:
    for name, shape in LEDGER.items():
        table = json.loads((MODULE / "ledger" / f"{name}.json").read_text())
        columns = [field["name"] for field in table["schema"]["fields"]]
        assert columns == [column.name for column in shape.columns]
        assert table["timePartitioning"]["field"] in columns
        assert set(table["clustering"]["fields"]) <= set(columns)
        assert 1 <= len(table["clustering"]["fields"]) <= 4
        types = {field["type"] for field in table["schema"]["fields"]}
        assert types <= {"STRING", "INTEGER", "FLOAT", "BOOLEAN", "TIMESTAMP", "DATE"}, "as BigQuery's API calls them"


def test_accounts_have_listed_roles_only() -> None:
    locals_of_iam = next(block for block in _locals("iam.tf") if "project_roles" in block)
    roles = {
        who: {role.strip('"') for role in said}
        for who, said in locals_of_iam["project_roles"].items()
        if said is not True
    }
    assert roles == PROJECT_ROLES
    project_wide = {
        content["role"].strip('"') for kind, _, content in resources(MODULE) if kind == "google_project_iam_member"
    }
    assert project_wide == {"${each.value.role}", "roles/eventarc.eventReceiver"}
    named = set(re.findall(r'"(roles/[\w.]+)"', text(MODULE)))
    assert named - GRANTED - {"roles/eventarc.eventReceiver"} == set().union(*PROJECT_ROLES.values())


def test_grants_add_to_what_others_granted() -> None:
    kinds = {kind for kind, _, _ in resources(MODULE) if re.search("_iam_(member|binding|policy)", kind)}
    assert kinds
    assert all(kind.endswith("_iam_member") for kind in kinds), "a binding or a policy takes away what others granted"


def test_no_secret_value_is_in_the_module() -> None:
    assert not any("secret_version" in kind for kind, _, _ in resources(MODULE))
    for path in [*MODULE.rglob("*.tf"), *(ROOT / "deploy" / "environments").iterdir()]:
        assert not re.search(r"secret_data|private_key|BEGIN [A-Z ]*KEY", path.read_text()), path


def test_what_holds_data_is_protected() -> None:
    found = {(kind, name): content for kind, name, content in resources(MODULE)}
    ledger = found["google_bigquery_table", "ledger"]
    assert ledger["deletion_protection"] is True
    assert ledger["lifecycle"][0]["ignore_changes"] == ["schema"], (
        "Terraform would drop columns that a newer release added"
    )
    assert found["google_secret_manager_secret", "this"]["deletion_protection"] is True
    assert found["google_bigquery_dataset", "this"]["delete_contents_on_destroy"] is False
    buckets = [content for (kind, _), content in found.items() if kind == "google_storage_bucket"]
    assert len(buckets) == 3
    for bucket in buckets:
        assert "force_destroy" not in bucket
        assert bucket["uniform_bucket_level_access"] is True
        assert bucket["public_access_prevention"] == '"enforced"'


def test_a_direct_schedule_calls_things_as_the_service_does() -> None:
    names = next(block for block in _locals("scheduler.tf") if "environment_names" in block)["environment_names"]
    spelled = {theirs: ours.strip('"') for theirs, ours in names.items() if isinstance(ours, str)}
    values: dict[str, Any] = {field.name: field.name for field in fields(Environment)}
    request = Environment(**values | {"private_workers": True}).as_request
    assert request.pop("ipConfiguration") == "WORKER_IP_PRIVATE"
    assert request.pop("stagingLocation") == "temp_location"
    assert spelled == request


def test_the_alert_on_missing_runs_counts_what_the_service_logs() -> None:
    monitoring = (MODULE / "monitoring.tf").read_text()
    assert f'jsonPayload.logger=\\"{incidents.__name__}\\"' in monitoring
    assert {"name", "state"} <= set(EndedJob._fields)
    assert {"jsonPayload.name", "jsonPayload.state"} <= set(re.findall(r"jsonPayload\.\w+", monitoring))


@needs_terraform
def test_the_parameters_module_refuses_what_its_tests_say(tmp_path: Path) -> None:
    shutil.copytree(ROOTS["parameters"], tmp_path / "parameters", ignore=shutil.ignore_patterns(".terraform*"))
    assert terraform(tmp_path / "parameters", "init").returncode == 0
    tested = terraform(tmp_path / "parameters", "test", "-no-color")
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs_terraform
def test_terraform_takes_the_values_that_the_flags_take(tmp_path: Path) -> None:
    flags = {f"{pipeline.name}.{flag.name}": flag for pipeline in PIPELINES.values() for flag in pipeline.flags}
    patterns = dict(_patterns())
    assert len(patterns) > 50
    samples = {name: [*flags[name].values, flags[name].example, flags[name].default, *ODD_VALUES] for name in patterns}
    asked = ", ".join(
        f"{json.dumps(name)} = [for v in {json.dumps(samples[name])} : can(regex({pattern}, v))]"
        for name, pattern in patterns.items()
    )
    answered = terraform(tmp_path, "console", stdin=f"jsonencode({{{asked}}})\n")
    assert answered.returncode == 0, answered.stderr
    found = json.loads(json.loads(answered.stdout))
    assert found == {name: [_takes(flags[name], value) for value in samples[name]] for name in patterns}


def _locals(name: str) -> list[Any]:
    with (MODULE / name).open() as file:
        found: list[Any] = hcl2.load(file)["locals"]
    return found


def _patterns() -> list[tuple[str, str]]:
    """(pipeline.flag, the regular expression as Terraform has it) of the generated variables."""
    rule = r'values\(var\.(\w+)\) : can\(regex\(("(?:[^"\\]|\\.)*"), job\.(\w+)\)\)'
    variables = (ROOTS["parameters"] / "variables.tf").read_text()
    return [(f"{pipeline}.{flag}", pattern) for pipeline, pattern, flag in re.findall(rule, variables)]


def _takes(flag: Flag, value: str) -> bool:
    if flag.required and not value:
        return False
    try:
        flag.check(value, remote=True)
    except UsageError:
        return False
    return True
