"""The documents cannot drift from the code."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from tests.conftest import ROOT
from wharf.launch.cli import main
from wharf.model import avro_export, sftp_run
from wharf.model.config import load
from wharf.model.fetching import flags as fetch_flags
from wharf.model.fetching.config import load_api
from wharf.model.flags import markdown_table
from wharf.model.loading import flags as load_flags

FLAGS = {
    "bigquery_to_avro": avro_export.FLAGS,
    "bigquery_to_sftp": sftp_run.FLAGS,
    "files_to_bigquery": load_flags.FLAGS,
    "api_to_bigquery": fetch_flags.FLAGS,
}
README = (ROOT / "README.md").read_text()


def test_the_readme_has_the_flag_table_of_each_pipeline() -> None:
    """To renew it: python -m tests.test_docs"""
    assert with_flag_tables(README) == README


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


def with_flag_tables(text: str) -> str:
    for pipeline, flags in FLAGS.items():
        begin, end = f"<!-- flags: {pipeline} -->", "<!-- end of flags -->"
        assert begin in text, f"the README has no place for the flags of {pipeline}"
        before, _, after = text.partition(begin)
        text = f"{before}{begin}\n\n{markdown_table(flags)}\n\n{end}{after.partition(end)[2]}"
    return text


if __name__ == "__main__":
    (ROOT / "README.md").write_text(with_flag_tables(README))
