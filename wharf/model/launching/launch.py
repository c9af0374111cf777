"""One run that somebody asks for, and what makes two requests ask for the same one."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from wharf.model.launching.periods import window_text

_LONGEST_JOB_NAME = 63  # Dataflow's job names are labels too


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A run of `pipeline` as `name`, which is what the launch configuration calls it.

    `parameters` are the pipeline's flags. Two requests with the same identity are one run: the same `window`, or
    without one the same `key`, which the caller gives (a Pub/Sub message's id, a schedule's time). Without either a
    request is the run that is active, or else a new one.
    """

    pipeline: str
    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    window: str = ""
    key: str = ""
    force: bool = False  # begin another attempt although this run has been done

    @property
    def identity(self) -> str:
        """16 hexadecimal digits; the same for the same run."""
        what = [self.pipeline, self.name, dict(sorted(self.parameters.items())), self.window or f"key={self.key}"]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]

    @property
    def is_once(self) -> bool:
        """Whether the run, once it has succeeded, is not to be repeated by the same request."""
        return bool(self.window or self.key)

    @property
    def run_id(self) -> str:
        """`name-window-identity`, of what Dataflow takes as a job's name; at most 63 characters."""
        words = re.sub(r"[^a-z0-9]+", "-", f"{self.name}-{self.window}".lower()).strip("-")
        words = words if words[:1].isalpha() else f"run-{words}"
        room = _LONGEST_JOB_NAME - len("-99999") - len(f"-{self.identity}")
        return f"{words[:room].rstrip('-')}-{self.identity}"

    @property
    def window_text(self) -> str:
        """The window as people read it; it is written here as `requests.canonical` does, or as a day."""
        start, end, zone = (*self.window.split("-", 2), "", "")[:3]
        if not end:
            return dt.date.fromisoformat(start).isoformat() if start else ""
        return window_text(dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end), zone or "UTC")

    def job_name(self, attempt: int) -> str:
        """The Dataflow job of the first, second, ... attempt; Dataflow refuses a second active one of the name."""
        return self.run_id if attempt == 1 else f"{self.run_id}-{attempt}"
