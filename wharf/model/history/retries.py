"""The commands that repeat or complete a run, as they are shown to people."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from wharf.model.launching.launch import Launch

CONFIG = "CONFIG"  # stands where nobody recorded which file describes the exports, or the API
_DATAFLOW_JOB = re.compile(r"\d{4}-\d\d-\d\d_\d\d_\d\d_\d\d-\d+")


def is_on_dataflow(job_id: str) -> bool:
    """Whether this is a job of Dataflow's, and not a process of some machine."""
    return _DATAFLOW_JOB.fullmatch(job_id) is not None


def repeat(name: str, flags: Mapping[str, str], *, on_dataflow: bool = False) -> str:
    """Runs a pipeline, or a job, with these flags; those without a value are left out."""
    words = ["wharf", "run", name, *(["--target", "dataflow"] if on_dataflow else [])]
    for flag, value in flags.items():
        if value:
            words += [f"--{flag}", value]
    return shlex.join(words)


def launch_again(launch: Launch) -> str:
    """Makes another attempt at a launch: the same job with the same flags is the same run."""
    is_job = launch.name != launch.pipeline.replace("_", "-")
    return repeat(launch.name if is_job else launch.pipeline, launch.parameters, on_dataflow=True)


def resend(config: str, export_name: str, export_id: str) -> str:
    """Sends what is missing of a delivery, from its staged files."""
    words = ["--config", config or CONFIG, "--export_name", export_name, "--export_id", export_id]
    return shlex.join(["wharf", "retry", *words])


def load_again(state_table: str, directory: str = "") -> str:
    """Loads the batches that are not loaded: all, or those in a directory."""
    words = ["wharf", "retry", "--load_state_table", state_table]
    return shlex.join([*words, "--directory", directory] if directory else words)
