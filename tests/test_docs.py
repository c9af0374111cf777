"""The documents cannot drift from the code."""

from __future__ import annotations

import re

from tests.conftest import ROOT
from wharf.model.avro_export import FLAGS
from wharf.model.flags import markdown_table

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


def with_flag_tables(text: str) -> str:
    table = f"<!-- flags: bigquery_to_avro -->\n\n{markdown_table(FLAGS)}\n\n<!-- end of flags -->"
    return re.sub(r"<!-- flags: bigquery_to_avro -->.*?<!-- end of flags -->", lambda _: table, text, flags=re.DOTALL)


if __name__ == "__main__":
    (ROOT / "README.md").write_text(with_flag_tables(README))
