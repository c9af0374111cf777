"""Fixtures of the whole suite.

stack       the embedded stack: BigQuery and Cloud Storage emulators, shared by the session
pubsub      a topic and a subscription of the test's own, at an emulator beside the stack
wheel       what users install, built once
wharf       runs the `wharf` command in a process of its own and returns what it did
sshd        an OpenSSH server, shared by the session
make_sshd   starts OpenSSH servers with options of the test's own
command     `wharf` in this process; more in tests/commands.py: launching, pipelines
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.commands import command, launching, pipelines  # noqa: F401  # fixtures
from tests.servers.pubsub_emulator import missing_pubsub, pubsub_emulator
from tests.servers.sshd import SSHD, Sshd, needs_sshd
from wharf.local.pubsub_server import PubSub
from wharf.local.stack import LocalStack

ROOT = Path(__file__).parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]
RUNNING = pytest.StashKey[LocalStack]()

missing_emulators = [
    name for name in ("bqemulator", "duckdb_extensions", "gcp_storage_emulator") if find_spec(name) is None
]
needs_emulators = pytest.mark.skipif(
    bool(missing_emulators), reason=f"not installed: {missing_emulators}; pip install 'wharf[local]'"
)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[LocalStack]:
    """One stack for all tests; each keeps to datasets and object names of its own."""
    if missing_emulators:
        pytest.skip(needs_emulators.kwargs["reason"])
    with LocalStack(tmp_path_factory.mktemp("stack")) as running:
        pytestconfig.stash[RUNNING] = running
        yield running


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail at once if an emulator has ended, as where memory ran out: Google's clients would try it for minutes."""
    if RUNNING in item.config.stash and "stack" in getattr(item, "fixturenames", ()):
        item.config.stash[RUNNING].check()


@pytest.fixture(scope="session")
def _pubsub(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PubSub]:
    if missing_pubsub:
        pytest.skip(missing_pubsub)
    with pubsub_emulator(tmp_path_factory.mktemp("pubsub"), stack.project) as running:
        yield running


@pytest.fixture
def pubsub(_pubsub: PubSub, monkeypatch: pytest.MonkeyPatch) -> PubSub:
    """In the stack's project; this process and what it starts find it by PUBSUB_EMULATOR_HOST."""
    own = replace(_pubsub, name=f"files-{uuid.uuid4().hex[:8]}")
    own.make()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", own.host)
    return own


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what it is made of, so that the tree stays clean; needs no network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pipelines", "transforms", "wharf", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def wharf() -> Run:
    """`wharf("local", "env")` -> the finished process, its output as text."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "wharf", *arguments]
        return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)

    return run


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One OpenSSH server for all tests; each keeps to files of its own names, and leaves it running."""
    if SSHD is None:
        pytest.skip(needs_sshd.kwargs["reason"])
    with Sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def make_sshd(tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    """`make_sshd(config=["MaxSessions 1"])` -> a running OpenSSH server of this test's own."""
    if SSHD is None:
        pytest.skip(needs_sshd.kwargs["reason"])
    with ExitStack() as running:
        count = itertools.count()
        yield lambda **options: running.enter_context(Sshd(tmp_path / f"sshd{next(count)}", **options))
