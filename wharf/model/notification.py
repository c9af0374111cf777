"""Telling people how a run ended: to whom, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wharf.model.report import size
from wharf.model.secrets import SecretRef
from wharf.model.templates import fill

ENDS = ("success", "failure")
FIELDS = (
    "pipeline",
    "export_name",
    "export_id",
    "status",
    "date",
    "rows",
    "files",
    "file_names",
    "bytes",
    "seconds",
    "destination",
    "error",
    "retry_command",
)
SUBJECT = "{export_name} {date}: {status}"
_SHOWN_FILES = 20
_LONGEST_ERROR = 2_000  # characters; Slack and mail readers cut longer texts at places of their own


@dataclass(frozen=True, kw_only=True)
class Slack:
    """An incoming webhook; its URL is the secret that lets anybody post."""

    webhook: SecretRef


@dataclass(frozen=True, kw_only=True)
class Email:
    """A mail server, the account there, and the message's two ends."""

    host: str
    port: int = 587
    username: str = ""  # empty: no log-in
    password: SecretRef | None = None
    sender: str
    to: tuple[str, ...]
    tls: str = "starttls"  # or implicit, none
    ca_file: str = ""  # PEM; empty: the system's authorities


@dataclass(frozen=True, kw_only=True)
class Notifications:
    """What one export tells, and to whom; templates are checked, and empty for the text made here."""

    slack: Slack | None = None
    email: Email | None = None
    on: tuple[str, ...] = ENDS
    subject: str = SUBJECT
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended. `files`: (remote path, bytes) of each; `error` and `retry_command` are empty after a success."""

    pipeline: str
    export_name: str
    export_id: str
    status: str  # SUCCESS or FAILED
    date: str  # YYYY-MM-DD
    rows: int = 0
    files: tuple[tuple[str, int], ...] = ()
    bytes: int = 0
    seconds: float = 0.0
    destination: str = ""
    error: str = ""
    retry_command: str = ""

    @property
    def end(self) -> str:
        """One of `ENDS`."""
        return "success" if self.status == "SUCCESS" else "failure"


def subject(outcome: Outcome, template: str = SUBJECT) -> str:
    """The message's subject: one line, whatever the values hold."""
    text = fill(template, _values(outcome, str))
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:200]


def body(outcome: Outcome, template: str = "", escape: Callable[[str], str] = str) -> str:
    """The message's text; `escape` makes a value safe where it goes."""
    values = _values(outcome, escape)
    if template:
        return fill(template, values)
    lines = [
        f"{values['export_name']} {values['date']}: {values['status']}",
        "",
        f"run          {values['pipeline']}, {values['export_id']}",
        f"destination  {values['destination']}",
        f"rows         {values['rows']}",
        f"files        {values['files']}, {values['bytes']}",
        *(f"  {line}" for line in values["file_names"].splitlines()),
        f"duration     {values['seconds']} s",
    ]
    if outcome.error:
        lines += ["", "error", values["error"]]
    if outcome.retry_command:
        lines += ["", "to send what is missing", values["retry_command"]]
    return "\n".join(lines) + "\n"


def _values(outcome: Outcome, escape: Callable[[str], str]) -> dict[str, str]:
    names = [f"{name}  {size(count)}" for name, count in outcome.files[:_SHOWN_FILES]]
    if len(outcome.files) > _SHOWN_FILES:
        names.append(f"and {len(outcome.files) - _SHOWN_FILES:,} more")
    values = {
        "pipeline": outcome.pipeline,
        "export_name": outcome.export_name,
        "export_id": outcome.export_id,
        "status": outcome.status,
        "date": outcome.date,
        "rows": f"{outcome.rows:,}",
        "files": f"{len(outcome.files):,}",
        "file_names": "\n".join(names),
        "bytes": size(outcome.bytes),
        "seconds": f"{outcome.seconds:.1f}",
        "destination": outcome.destination,
        "error": _shortened(outcome.error),
        "retry_command": outcome.retry_command,
    }
    # A file's name or an error may hold bytes that were no text, which no message can carry.
    return {name: escape(value.encode(errors="replace").decode()) for name, value in values.items()}


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]} ..."
