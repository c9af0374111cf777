"""Keeps the direction of imports, and the few other rules of the house that a machine can check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = {"wharf.connectors", "wharf.formats", "wharf.model"}
MAY_IMPORT = {
    "wharf.model": set(),
    "wharf.formats": {"wharf.model"},
    "wharf.connectors": {"wharf.formats", "wharf.model"},
    "transforms": LIBRARY | {"apache_beam"},
    "pipelines": LIBRARY | {"apache_beam", "transforms"},
    "wharf.local": LIBRARY,
    "wharf.launch": LIBRARY | {"wharf.local"},
}
GUARDED = {*MAY_IMPORT, "apache_beam"}
READS_ENVIRONMENT = "wharf/connectors/endpoints.py"
FILES = sorted(path for top in ("pipelines", "transforms", "wharf") for path in (ROOT / top).rglob("*.py"))


def layer_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "wharf" else parts[0]


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(path: str, source: str) -> list[str]:
    """What a file at `path` does against the rules."""
    tree = ast.parse(source)
    own = layer_of(path.removesuffix(".py").replace("/", "."))
    allowed = MAY_IMPORT.get(own, GUARDED - {"apache_beam"}) | {own}  # wharf/__main__.py stands above all.
    found = [f"imports {name}" for name in imports(tree) if layer_of(name) in GUARDED - allowed]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append("imports relatively")
        named = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        named |= {node.attr} if isinstance(node, ast.Attribute) else set()
        if named & {"environ", "getenv", "putenv"} and path != READS_ENVIRONMENT:
            found.append("touches the environment")
    if len(source.splitlines()) > 300:
        found.append("is longer than 300 lines")
    if path.rsplit("/", 1)[-1] in {"utils.py", "helpers.py", "common.py"}:
        found.append("has a name that says nothing")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_keeps_to_its_layer(path: Path) -> None:
    assert violations(path.relative_to(ROOT).as_posix(), path.read_text()) == []


@pytest.mark.parametrize(
    ("path", "source", "violation"),
    [
        ("wharf/model/a.py", "from wharf import formats", "imports wharf.formats"),
        ("wharf/formats/a.py", "def f():\n    import wharf.connectors.b", "imports wharf.connectors.b"),
        ("wharf/connectors/a.py", "from wharf.launch import cli", "imports wharf.launch.cli"),
        ("wharf/connectors/a.py", "import apache_beam as beam", "imports apache_beam"),
        ("wharf/launch/a.py", "from pipelines import b", "imports pipelines.b"),
        ("wharf/local/a.py", "from apache_beam.io import b", "imports apache_beam.io.b"),
        ("transforms/a.py", "import pipelines.b", "imports pipelines.b"),
        ("transforms/a.py", "from . import b", "imports relatively"),
        ("wharf/launch/a.py", "import os\nos.environ['A']", "touches the environment"),
        ("pipelines/a.py", "from os import getenv", "touches the environment"),
        ("wharf/model/a.py", "\n" * 301, "is longer than 300 lines"),
        ("wharf/model/utils.py", "", "has a name that says nothing"),
    ],
)
def test_a_breach_is_found(path: str, source: str, violation: str) -> None:
    assert violations(path, source) == [violation]


def test_the_rules_look_at_files() -> None:
    assert len(FILES) > 10
