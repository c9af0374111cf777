"""`wharf serve` as a command: what it is told, and what it refuses before it listens."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import NO_BIGQUERY, ROOT, SERVED
from wharf.connectors.endpoints import Endpoints, service_port
from wharf.model.errors import UsageError


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], "--launch_config is missing"),
        (["--launch_config", "nowhere.json"], "nowhere.json: there is no such file"),
        (["--launch_config", "CONFIG", "--audience", "https://a"], "--service_accounts"),
        (["--launch_config", "CONFIG", "--service_accounts", "a@b"], "--service_accounts needs --audience"),
        (["--launch_config", "CONFIG", "--prot", "80"], "did you mean --port"),
        (["--launch_config", "WRONG"], "jobs.measurements.pipeline"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_refused_before_anything_listens(
    tmp_path: Path, flags: list[str], text: str
) -> None:
    (tmp_path / "launch.json").write_text(json.dumps(SERVED))
    wrong = SERVED | {"jobs": {"measurements": {"pipeline": "bigquery_to_arvo"}}}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    named = {"CONFIG": str(tmp_path / "launch.json"), "WRONG": str(tmp_path / "wrong.json")}
    ended = subprocess.run(
        [sys.executable, "-m", "wharf", "serve", *(named.get(flag, flag) for flag in flags)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "WHARF_LAUNCH_CONFIG"}
        | Endpoints(**NO_BIGQUERY).environment(),
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    (tmp_path / "launch.json").write_text(json.dumps(SERVED))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = ["--launch_config", str(tmp_path / "launch.json"), "--host", "127.0.0.1", "--port", str(port)]
        ended = subprocess.run(
            [sys.executable, "-m", "wharf", "serve", *flags],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | Endpoints(**NO_BIGQUERY).environment(),
            timeout=60,
            check=False,
        )
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use; choose another --port" in ended.stderr


def test_the_port_is_the_platforms_unless_a_flag_says_otherwise() -> None:
    assert service_port({}) is None
    assert service_port({"PORT": ""}) is None
    assert service_port({"PORT": "8081"}) == 8081
    with pytest.raises(UsageError, match="PORT: 'http' is no port"):
        service_port({"PORT": "http"})
