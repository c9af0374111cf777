"""The `wharf` command: it answers at once, and refuses what it does not know in one line."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.conftest import Run
from wharf import __version__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lcal"], "unknown command 'lcal' (did you mean local?); see `wharf --help`"),
        (["local", "don"], "unknown command 'don' (did you mean down?); see `wharf local --help`"),
        (["--versoin"], "unknown flag '--versoin' (did you mean --version?); see `wharf --help`"),
        (
            ["local", "up", "--backgruond"],
            "unknown flag '--backgruond' (did you mean --background?); see `wharf local up --help`",
        ),
        (["demo", "--row=3"], "unknown flag '--row' (did you mean --rows?); see `wharf demo --help`"),
        (["local", "down", "now"], "unknown argument 'now'; see `wharf local down --help`"),
        (["local"], "which command? one of: up, down, env, put, sql; see `wharf local --help`"),
        (["demo", "--rows", "0"], "argument --rows: '0' is not a number above 0; see `wharf demo --help`"),
        (["demo", "--rows"], "argument --rows: expected one argument; see `wharf demo --help`"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_exit_code_2(wharf: Run, arguments: list[str], message: str) -> None:
    result = wharf(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"wharf: error: {message}\n"


def test_nothing_is_suggested_when_nothing_is_near(wharf: Run) -> None:
    assert "did you mean" not in wharf("xyzzy").stderr


def test_a_bare_command_names_the_commands(wharf: Run) -> None:
    result = wharf()
    assert result.returncode == 2
    assert "local" in result.stderr


@pytest.mark.parametrize("argument", ["version", "--version"])
def test_the_version_is_printed(wharf: Run, argument: str) -> None:
    result = wharf(argument)
    assert (result.returncode, result.stdout) == (0, f"wharf {__version__}\n")


def test_help_lists_the_commands_of_every_level(wharf: Run) -> None:
    assert "local" in wharf("--help").stdout
    assert "--background" in wharf("local", "up", "--help").stdout


def test_help_imports_nothing_heavy_and_is_fast() -> None:
    code = (
        "import sys\n"
        "from wharf.launch.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "finally:\n"
        "    heavy = {'apache_beam', 'google', 'grpc', 'numpy', 'pyarrow', 'duckdb'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    # The fastest of three, for machines that are busy with something else; -S leaves out what
    # installed packages run at the start of every Python.
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-S", "-c", code], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.3
