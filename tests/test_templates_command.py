"""`wharf templates`: writes what is generated, and publishes templates by docker and gcloud."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from wharf.launch.cli import main
from wharf.model.launching.pipelines import PIPELINES
from wharf.model.launching.template import metadata, specification

PUBLISH = ["templates", "publish", "--image", "eu.gcr.io/my-project/wharf", "--bucket", "gs://my-bucket/"]
Called = Callable[[], list[tuple[list[str], str]]]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `wharf templates build` reads and writes, on its own."""
    (tmp_path / "templates").mkdir()
    for name in ("README.md", "templates/Dockerfile"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_build_writes_what_is_missing_and_then_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["templates", "build"]) == 0
    assert "wrote templates/bigquery_to_avro.json" in capsys.readouterr().out.splitlines()
    written = {path.name: path.read_text() for path in (repository / "templates").glob("*.json")}
    assert json.loads(written["files_to_bigquery.json"]) == metadata(PIPELINES["files_to_bigquery"])
    assert main(["templates", "build"]) == 0
    assert capsys.readouterr().out == "everything is up to date\n"


def test_check_names_what_is_stale_and_writes_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["templates", "build"])
    template, readme = repository / "templates" / "bigquery_to_sftp.json", repository / "README.md"
    template.write_text("{}\n")
    readme.write_text(readme.read_text().replace("| `--codec` |", "| `--kodec` |"))
    capsys.readouterr()
    assert main(["templates", "build", "--check"]) == 1
    stale = [line.split()[0] for line in capsys.readouterr().err.splitlines()]
    assert sorted(stale) == ["README.md", "templates/bigquery_to_sftp.json"]
    assert template.read_text() == "{}\n"
    assert main(["templates", "build"]) == 0
    assert main(["templates", "build", "--check"]) == 0


def test_build_says_where_the_readme_lost_a_mark(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "README.md").write_text("# Wharf\n")
    assert main(["templates", "build"]) == 2
    assert "README.md: there is no <!-- flags: bigquery_to_avro -->" in capsys.readouterr().err


def test_build_is_for_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["templates", "build"]) == 2
    assert f"there is no templates/Dockerfile in {tmp_path}" in capsys.readouterr().err


@pytest.fixture
def tools(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Called:
    """Programs named docker and gcloud that note their words and input; `docker push` fails while `broken` is there."""
    folder = tmp_path_factory.mktemp("bin")
    for name in ("docker", "gcloud"):
        program = folder / name
        program.write_text(
            "#!/usr/bin/env python3\n"
            "import json, pathlib, sys\n"
            f"folder = pathlib.Path({str(folder)!r})\n"
            "text = sys.stdin.read() if '-' in sys.argv else ''\n"
            "with open(folder / 'calls', 'a') as calls:\n"
            f"    calls.write(json.dumps([[{name!r}, *sys.argv[1:]], text]) + '\\n')\n"
            "sys.exit(5 if sys.argv[1] == 'push' and (folder / 'broken').exists() else 0)\n"
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.chdir(ROOT)
    calls = folder / "calls"
    return lambda: [tuple(json.loads(line)) for line in calls.read_text().splitlines()] if calls.exists() else []


def test_publish_builds_pushes_and_uploads_each_template(tools: Called, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PUBLISH, "--version", "1.2"]) == 0
    made = [words for words, _ in tools()]
    images = {name: f"eu.gcr.io/my-project/wharf:1.2-{name}" for name in PIPELINES}
    docker = ["docker", "build", "--file", "templates/Dockerfile", "--build-arg"]
    assert made[:4] == [[*docker, f"PIPELINE={name}", "--tag", image, "."] for name, image in images.items()]
    assert made[4:8] == [["docker", "push", image] for image in images.values()]
    for (words, text), (name, image) in zip(tools()[8:], images.items(), strict=True):
        assert words == ["gcloud", "storage", "cp", "-", f"gs://my-bucket/templates/1.2/{name}.json"]
        assert json.loads(text) == specification(PIPELINES[name], image)
        assert json.loads(text)["defaultEnvironment"] == {"sdkContainerImage": image}
    assert "published to gs://my-bucket/templates/1.2" in capsys.readouterr().out


def test_publish_may_build_in_the_cloud_or_not_at_all(tools: Called) -> None:
    assert main([*PUBLISH, "--version=1.2", "--cloud-build", "--project=p", "--region=europe-west1"]) == 0
    submit = ["gcloud", "builds", "submit", "--config", "templates/cloudbuild.json", "--substitutions"]
    submit += ["_IMAGE=eu.gcr.io/my-project/wharf,_VERSION=1.2", "--project", "p", "--region", "europe-west1", "."]
    assert tools()[0] == (submit, "")
    assert main([*PUBLISH, "--no-build"]) == 0
    assert [words[1] for words, _ in tools()] == ["builds", *["storage"] * 8]


def test_cloud_build_makes_and_pushes_the_images_that_templates_name() -> None:
    build = json.loads((ROOT / "templates" / "cloudbuild.json").read_text())
    assert build["images"] == [f"${{_IMAGE}}:${{_VERSION}}-{name}" for name in PIPELINES]
    assert [step["args"][-2] for step in build["steps"]] == build["images"]


def test_a_dry_run_prints_commands_that_do_the_same(tools: Called, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PUBLISH, "--version", "1.2", "--dry-run"]) == 0
    assert tools() == []
    lines = capsys.readouterr().out.splitlines()
    assert main([*PUBLISH, "--version", "1.2"]) == 0
    asked = tools()
    assert [line.split(" | ")[-1] for line in lines] == [" ".join(words) for words, _ in asked]
    for line, (_, text) in zip(lines[8:], asked[8:], strict=True):
        capsys.readouterr()
        assert main(line.split(" | ")[0].split()[1:]) == 0
        assert capsys.readouterr().out == text


def test_publish_stops_at_a_command_that_fails(tools: Called, capsys: pytest.CaptureFixture[str]) -> None:
    program = shutil.which("docker")
    assert program
    (Path(program).parent / "broken").touch()
    assert main([*PUBLISH, "--version", "1.2"]) == 1
    assert [words[1] for words, _ in tools()] == [*["build"] * 4, "push"]
    said = capsys.readouterr().err
    assert "error: `docker push eu.gcr.io/my-project/wharf:1.2-bigquery_to_avro` ended with exit code 5" in said


def test_publish_says_first_what_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(ROOT)
    assert main(PUBLISH) == 2
    assert "docker is not installed" in capsys.readouterr().err
    assert main([*PUBLISH, "--no-build"]) == 2
    assert "gcloud is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bucket", "my-bucket"], "--bucket: 'my-bucket' is not understood: write one like gs://my-bucket"),
        (["--image", "eu.gcr.io/p/wharf:1.0"], "--image: 'eu.gcr.io/p/wharf:1.0' is not understood"),
        (["--image", "wharf"], "--image: 'wharf' is not understood: write one like eu.gcr.io/my-project/wharf"),
        (["--version", "a/b"], "--version: 'a/b' is not understood"),
    ],
)
def test_publish_checks_where_things_go(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tools: Called
) -> None:
    assert main([*PUBLISH, *words]) == 2
    assert message in capsys.readouterr().err
    assert tools() == []
