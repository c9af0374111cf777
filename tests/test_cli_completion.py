"""`wharf completion`: shells complete commands, pipelines and flags, without starting Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run

COMPLETE = """
source {script}
COMP_WORDS=({words}) COMP_CWORD=$(({count} - 1)) COMP_LINE="${{COMP_WORDS[*]}}" COMP_POINT=${{#COMP_LINE}}
complete=$(complete -p wharf | sed -E 's/.* -F ([^ ]+) .*/\\1/')
$complete wharf "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script(wharf: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = wharf("completion", "bash")
    assert (made.returncode, made.stderr) == (0, "")
    path = tmp_path_factory.mktemp("completion") / "wharf.bash"
    path.write_text(made.stdout)
    return path


def completions(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word."""
    code = COMPLETE.format(script=script, words=" ".join(f"'{word}'" for word in words), count=len(words))
    said = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    return {line.strip() for line in said.stdout.splitlines() if line.strip()}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["wharf", "ba"], {"backfill"}),
        (["wharf", "local", "d"], {"down"}),
        (["wharf", "run", "bigquery_to_"], {"bigquery_to_avro", "bigquery_to_sftp"}),
        (["wharf", "run", "bigquery_to_avro", "--source"], {"--source_table"}),
        (["wharf", "backfill", "bigquery_to_avro", "--f"], {"--from", "--force", "--files_table"}),
        (["wharf", "run", "bigquery_to_avro", "--codec", "sn"], {"snappy"}),
        (["wharf", "status", "--pipe"], {"--pipeline"}),
        (["wharf", "completion", ""], {"bash", "zsh", "fish"}),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_bash_completes(script: Path, words: list[str], offered: set[str]) -> None:
    found = completions(script, *words)
    assert {word for word in found if not word.startswith("-") or words[-1].startswith("-")} == offered


def test_bash_offers_every_command_and_no_placeholder(script: Path) -> None:
    assert {"run", "plan", "status", "backfill", "completion"} <= completions(script, "wharf", "")
    assert "JOB" not in completions(script, "wharf", "run", "")


def test_bash_completes_files_where_a_file_is_wanted(script: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "exports.json").touch()
    monkeypatch.chdir(tmp_path)
    assert completions(script, "wharf", "status", "--config", "exp") == {"exports.json"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_understand_their_scripts(shell: str, wharf: Run, tmp_path: Path) -> None:
    made = wharf("completion", shell)
    assert made.returncode == 0
    assert "bigquery_to_avro" in made.stdout
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    path = tmp_path / f"wharf.{shell}"
    path.write_text(made.stdout)
    checked = subprocess.run(
        [shell, "--no-execute" if shell == "fish" else "-n", str(path)], capture_output=True, text=True
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    if shell == "fish":
        said = subprocess.run([shell, "-c", f"source {path}; complete -C 'wharf ba'"], capture_output=True, text=True)
        assert said.stdout.split()[0] == "backfill"


def test_an_unknown_shell_is_refused(wharf: Run) -> None:
    refused = wharf("completion", "csh")
    assert refused.returncode == 2
    assert "invalid choice: 'csh'" in refused.stderr
