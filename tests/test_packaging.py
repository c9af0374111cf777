"""The wheel is what users and Dataflow workers get: it holds the three packages and the command."""

from __future__ import annotations

import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import wharf

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipelines", "transforms", "wharf")


@pytest.fixture(scope="module", name="wheel")
def opened(wheel: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(wheel)


def read(wheel: zipfile.ZipFile, name: str) -> str:
    return wheel.read(f"wharf-{wharf.__version__}.dist-info/{name}").decode()


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {*PACKAGES, f"wharf-{wharf.__version__}.dist-info"}


def test_the_wheel_holds_every_module(wheel: zipfile.ZipFile) -> None:
    modules = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert modules <= set(wheel.namelist())


def test_the_wheel_installs_the_command(wheel: zipfile.ZipFile) -> None:
    assert "wharf = wharf.launch.cli:main" in read(wheel, "entry_points.txt")


def test_the_wheel_pins_what_a_pickled_pipeline_depends_on(wheel: zipfile.ZipFile) -> None:
    requirements = Parser().parsestr(read(wheel, "METADATA")).get_all("Requires-Dist")
    runtime = [line for line in requirements if "extra ==" not in line]
    assert any(line.startswith("apache-beam[gcp]==") for line in runtime)
    assert all("==" in line for line in runtime)


def test_every_pin_of_the_wheel_is_the_locked_version(wheel: zipfile.ZipFile) -> None:
    locked = "".join(path.read_text() for path in sorted((ROOT / "requirements").glob("*.txt")))
    for line in Parser().parsestr(read(wheel, "METADATA")).get_all("Requires-Dist"):
        requirement = line.split(";")[0].strip()
        if "==" in requirement:
            name, version = requirement.split("==")
            assert f"\n{name.split('[')[0]}=={version} " in locked, f"{requirement}: run `make lock`"
