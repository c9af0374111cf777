"""templates/Dockerfile, as far as it can be checked where nothing builds images: what it names is there, and pinned."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.conftest import ROOT
from wharf.model.launching.pipelines import PIPELINES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXT = re.sub(r"^\s*#.*\n", "", (ROOT / "templates" / "Dockerfile").read_text(), flags=re.M)
LINES = re.sub(r"\\\n\s*", "", TEXT).splitlines()


def instructions(name: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in LINES if line.startswith(f"{name} ")]


def locked(path: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[.*?\])?==(\S+)", (ROOT / path).read_text(), re.M))


def copied() -> list[str]:
    """What is copied from the repository."""
    words = [line.split() for line in instructions("COPY") if not line.startswith("--from=")]
    return [source for line in words for source in line[:-1]]


def test_its_images_are_pinned_to_a_version_and_beams_is_the_one_that_is_installed() -> None:
    images = [line.split()[0] for line in instructions("FROM")]
    assert all(re.fullmatch(r"[a-z0-9./_-]+:[A-Za-z0-9._-]*[0-9][A-Za-z0-9._-]*", image) for image in images), images
    (beam,) = (image for image in images if image.startswith("apache/beam"))
    assert f"apache-beam[gcp]=={beam.rpartition(':')[2]}" in PROJECT["dependencies"]


def test_its_images_are_all_of_one_python() -> None:
    images = [line.split()[0] for line in instructions("FROM")]
    versions = {found[1].replace(".", "") for image in images if (found := re.search(r"python[:_]?(3\.?\d+)", image))}
    assert len(images) == 3
    assert versions == {"311"}
    assert PROJECT["requires-python"].startswith(">=3.11,")


def test_it_copies_what_there_is_and_what_the_build_may_see() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert len(copied()) > 8
    for source in copied():
        for path in [source.replace("${PIPELINE}", name) for name in PIPELINES]:
            assert (ROOT / path).exists(), path
            assert f"!{Path(path).parts[0]}" in ignored, path


def test_every_package_of_the_wheel_is_in_the_image() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages <= set(copied())


def test_stages_copy_from_stages_that_there_are() -> None:
    stages = {line.split(" AS ")[1] for line in instructions("FROM") if " AS " in line}
    sources = {line.split()[0].removeprefix("--from=") for line in instructions("COPY") if line.startswith("--from=")}
    assert sources == stages


def test_packages_are_installed_by_their_hashes_and_checked() -> None:
    commands = [command for line in instructions("RUN") for command in line.split(" && ")]
    remote = [command for command in commands if "--requirement" in command]
    assert len(remote) == 2
    assert all("--require-hashes" in command and "--no-deps" in command for command in remote)
    assert all("--no-deps" in command for command in commands if "pip install" in command or "pip wheel" in command)
    assert commands[-1].strip() == "pip check"


def test_the_image_has_what_the_wheel_needs_and_no_tools() -> None:
    worker, everything = locked("requirements/worker.txt"), locked("requirements/dev.txt")
    assert worker.items() <= everything.items(), "run `make lock`"
    for requirement in PROJECT["dependencies"]:
        name, version = re.sub(r"\[.*\]", "", requirement).split("==")
        assert worker[name] == version, "run `make lock`"
    assert not worker.keys() & {"pytest", "mypy", "ruff", "bqemulator", "duckdb", "asyncssh", "uv"}


def test_each_template_runs_the_file_of_its_pipeline() -> None:
    assert "PIPELINE" in instructions("ARG")
    assert "pipelines/${PIPELINE}.py /template/" in instructions("COPY")
    assert instructions("ENV") == ["FLEX_TEMPLATE_PYTHON_PY_FILE=/template/${PIPELINE}.py"]


def test_it_starts_as_workers_do_and_can_launch() -> None:
    assert instructions("ENTRYPOINT") == ['["/opt/apache/beam/boot"]']
    launcher = "/opt/google/dataflow/python_template_launcher"
    assert f"--from=launcher {launcher} {launcher}" in instructions("COPY")
