"""The documents cannot drift from the code."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT
from wharf.launch.cli import main
from wharf.launch.commands.templates import generated
from wharf.model.config import load
from wharf.model.fetching.config import load_api

GENERATED = generated(ROOT)
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_file_is_what_the_code_says(path: Path) -> None:
    """To renew them all: wharf templates build"""
    assert path.read_text() == GENERATED[path]


def test_no_template_is_left_of_a_pipeline_that_is_gone() -> None:
    assert set((ROOT / "templates").glob("*.json")) <= GENERATED.keys()


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)`", README)) | set(re.findall(r"^\$ make (\w+)", README, re.M)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_configuration_of_the_readme_is_sound() -> None:
    examples = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    kinds = Counter("api" if "base_url" in json.loads(example) else "sftp" for example in examples)
    assert kinds.keys() == {"api", "sftp"}
    for example in examples:
        read = load_api if "base_url" in json.loads(example) else load
        assert read(example, uri="README.md").warnings == ()


def test_every_wharf_command_of_the_readme_exists() -> None:
    commands = set(re.findall(r"^\$ (?:eval .)?(wharf [a-z]+(?: [a-z]+)?)", README, re.M))
    assert len(commands) > 5
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main([*command.split()[1:], "--help"])
        assert ended.value.code == 0, command
