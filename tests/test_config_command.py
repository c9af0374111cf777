"""`wharf config`: the schema says what is accepted, and a file is checked as a run would check it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.configs import AS_LIST, BY_NAME, VARIABLES
from tests.conftest import ROOT, Run
from wharf.model.config import load
from wharf.model.config_document import json_schema
from wharf.model.fetching.document import json_schema as json_schema_of_apis

EXAMPLES = sorted((ROOT / "examples" / "bigquery_to_sftp").glob("*.json"))
SCHEMA = json_schema()


def fits(value: Any, schema: dict[str, Any]) -> list[str]:
    """What of a value the schema does not allow, for the words of JSON Schema that ours uses."""
    if reference := schema.get("$ref"):
        return fits(value, SCHEMA["$defs"][reference.removeprefix("#/$defs/")])
    if options := schema.get("anyOf"):
        found = [fits(value, option) for option in options]
        return [] if [] in found else min(found, key=len)
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    kinds |= {"integer": int, "number": (int, float)}
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return [f"{value!r} is no {schema['type']}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{value!r} is not in {schema['enum']}")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{value!r} does not match")
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{value!r} is out of range")
    if isinstance(value, list):
        found += [each for item in value for each in fits(item, schema["items"])]
    if isinstance(value, dict):
        found += [f"{key} is missing" for key in schema.get("required", []) if key not in value]
        for key, item in value.items():
            below = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            found += [f"{key} is unknown"] if below is False else fits(item, below)
    return found


def test_the_command_prints_the_schema(wharf: Run) -> None:
    result = wharf("config", "schema")
    assert result.returncode == 0
    assert json.loads(result.stdout) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_key_has_a_description() -> None:
    models = {"": SCHEMA, **SCHEMA["$defs"]}
    undescribed = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, schema in model["properties"].items()
        if not schema.get("description")
    ]
    assert undescribed == []
    assert sum(len(model["properties"]) for model in models.values()) > 80


@pytest.mark.parametrize("text", [BY_NAME, AS_LIST, *(path.read_text() for path in EXAMPLES)])
def test_the_schema_allows_what_loads(text: str) -> None:
    assert load(text, uri="c.json", variables=VARIABLES).exports
    assert fits(json.loads(text), SCHEMA) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"name"', '"nmae"'),
        ('"incremental": true', '"incremental": "yes"'),
        ('"port": 22', '"port": 0'),
        ('"path"', '"pth"'),
        ('"events"', '"a b"'),
        ('"project.dataset.export_metadata"', '"nothing"'),
        ('"exports"', '"export"'),
        ('"incremental": true', '"format": "cvs"'),
    ],
)
def test_the_schema_refuses_what_does_not_load(old: str, new: str) -> None:
    text = AS_LIST.replace(old, new)
    assert fits(json.loads(text), SCHEMA) != []
    with pytest.raises(Exception, match=r"c\.json"):
        load(text, uri="c.json", variables=VARIABLES)


def test_there_is_an_example_of_each_shape() -> None:
    shapes = {type(json.loads(path.read_text())["exports"]) for path in EXAMPLES}
    assert shapes == {dict, list}


def test_a_valid_file_is_summed_up(wharf: Run) -> None:
    result = wharf("config", "check", "examples/bigquery_to_sftp/by_name.json")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[:2] == [
        "examples/bigquery_to_sftp/by_name.json is a valid configuration",
        "server    sftp://wharf@sftp.example.com:22/incoming",
    ]
    assert "3 days by order_date of my-project.shop.orders -> {export_name}_{date}.csv.gz" in result.stdout
    assert "retired       switched off" in result.stdout


def test_a_file_is_summed_up_for_machines_too(wharf: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "c.json").write_text(AS_LIST)
    result = wharf("config", "check", "--json", str(tmp_path / "c.json"))
    assert (result.returncode, result.stderr) == (0, "")
    facts = json.loads(result.stdout)
    assert facts["ok"]
    assert facts["staging"] == "gs://env-bucket/wharf/sftp"
    assert facts["exports"][0]["file_names"] == "X_{datetime}.csv"


def test_a_literal_secret_is_warned_about_and_not_shown(wharf: Run, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(BY_NAME)
    result = wharf("config", "check", str(tmp_path / "c.json"))
    assert result.returncode == 0
    assert "warning: sftp.password: a secret stands here literally" in result.stdout
    assert "hunter2" not in result.stdout


def test_every_mistake_is_shown_and_the_exit_code_is_2(wharf: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(BY_NAME.replace('"days_lookback": 3', '"days_lookback": 0').replace('"compress"', '"compres"'))
    result = wharf("config", "check", str(path))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"wharf: error: {path} has 3 mistakes",
        "  exports.daily.days_lookback: must be at least 1",
        "  exports.daily.compres: unknown key (did you mean compress?)",
        "  exports.all_of_it.compres: unknown key (did you mean compress?)",
    ]
    result = wharf("config", "check", "--json", str(path))
    assert (result.returncode, result.stderr) == (2, "")
    answer = json.loads(result.stdout)
    assert not answer["ok"]
    assert answer["mistakes"][0] == {"path": "exports.daily.days_lookback", "text": "must be at least 1"}


def test_a_missing_file_is_named(wharf: Run, tmp_path: Path) -> None:
    result = wharf("config", "check", str(tmp_path / "none.json"))
    assert result.returncode == 2
    assert "there is no such file" in result.stderr
    result = wharf("config", "check", "--json", str(tmp_path / "none.json"))
    assert result.returncode == 2
    assert not json.loads(result.stdout)["ok"]


def test_the_command_prints_the_schema_of_apis(wharf: Run) -> None:
    result = wharf("config", "schema", "api")
    assert (result.returncode, json.loads(result.stdout)) == (0, json_schema_of_apis())
    assert json.loads(wharf("config", "schema", "sftp").stdout) == SCHEMA
    unknown = wharf("config", "schema", "apy")
    assert (unknown.returncode, unknown.stdout) == (2, "")


def test_the_configuration_of_an_api_is_summed_up(wharf: Run) -> None:
    name = "examples/api_to_bigquery/cursor.json"
    result = wharf("config", "check", name)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"{name} is a valid configuration",
        "api       shop at https://api.shop.example.com/v1, auth client_credentials",
        "client    acme",
        "limits    4 at once, 120 a minute",
        "files     gs://my-bucket/acme/shop",
        "tables    acme_shop, json",
        "metadata  wharf.api_fetches",
        "endpoints",
        "  customers    what is new by updated_since, paged by cursor",
        "  orders       everything, paged by cursor",
        "  order_lines  everything, one page, for each of orders",
        "  events       what is new by after_id, paged by cursor",
    ]


def test_the_configuration_of_an_api_is_checked_for_a_client(wharf: Run) -> None:
    name = "examples/api_to_bigquery/xero.json"
    result = wharf("config", "check", "--json", "--client_name", "globex", name)
    assert (result.returncode, result.stderr) == (0, "")
    facts = json.loads(result.stdout)
    assert (facts["ok"], facts["dataset"]) == (True, "globex_xero")
    assert facts["tenants"] == ["70784a63-d24b-46a9-a4db-0e70a274b056"]
    assert len(facts["endpoints"]) == 25
    without = wharf("config", "check", name)
    assert (without.returncode, without.stdout) == (2, "")
    assert "give --client_name, or set CLIENT_NAME; there are acme, globex" in without.stderr


@pytest.mark.parametrize("key", ["api", "base_url", "endpoints"])
def test_one_key_tells_the_configuration_of_an_api_from_one_of_exports(wharf: Run, tmp_path: Path, key: str) -> None:
    (tmp_path / "c.json").write_text(json.dumps({key: {} if key == "endpoints" else "x", "dataset": 1}))
    result = wharf("config", "check", str(tmp_path / "c.json"))
    assert result.returncode == 2
    assert "dataset: must be text" in result.stderr
    assert "unknown key" not in result.stderr
