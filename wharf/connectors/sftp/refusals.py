"""What a server refuses while a file is delivered, and what a person can do about it."""

from __future__ import annotations

from wharf.connectors.sftp import packets as sftp
from wharf.connectors.sftp.packets import Reply
from wharf.model.delivery import SftpTarget
from wharf.model.errors import FileRefused

PROBE = "`wharf sftp probe` finds out what the server can do"


class Refused(Exception):
    """A server's answer that ends the delivery of a file; `step` is a key of `_STEPS`."""

    def __init__(self, step: str, path: str, reply: Reply | None = None, detail: str = "") -> None:
        super().__init__(step, path)
        self.step = step
        self.path = path
        self.code = reply.code if reply else sftp.OK
        self.reason = reply.reason if reply else ""
        self.detail = detail

    @property
    def may_pass(self) -> bool:
        """Whether another try has a chance: servers say "failure" of much that is over a moment later."""
        return self.code == sftp.FAILURE or self.step == "lost"

    def explained(self, target: SftpTarget) -> FileRefused:
        what, remedies = _STEPS[self.step]
        remedy = remedies.get(self.code, remedies.get(_ANY, "")).format(target=target)
        said = f": the server says: {self.reason}" if self.reason else ""
        detail = f" ({self.detail})" if self.detail else ""
        return FileRefused(f"{target}: {self.path} {what}{said}{detail}{'; ' if remedy else ''}{remedy}")


_ANY = -1
_ROOM = "free some space there, or have the account's quota raised"
_ALLOW = "give the account {target.username!r} permission to write there, or mend sftp.directory"
_NO_STAT = f"if the server does not let files be looked at, set delivery.verify to none; {PROBE}"
_DIRECT = f"if the server does not let files be renamed, set delivery.write to direct; {PROBE}"

# What was refused, and the remedy by status code.
_STEPS: dict[str, tuple[str, dict[int, str]]] = {
    "open": (
        "cannot be created",
        {
            sftp.PERMISSION_DENIED: f"{_ALLOW}; if only its temporary name is refused, set delivery.write to rename "
            f"or direct; {PROBE}",
            sftp.NO_SUCH_FILE: "make the directory there, or mend sftp.directory",
            _ANY: f"if the server allows few open files, set delivery.open_files to 1; {PROBE}; or {_ROOM}",
        },
    ),
    "write": ("cannot be written", {_ANY: _ROOM}),
    "close": ("cannot be completed", {_ANY: _ROOM}),
    "stat": ("cannot be looked at once it is written", {_ANY: _NO_STAT}),
    "look": (
        "cannot be looked at before it is written, as delivery.overwrite asks",
        {_ANY: f"set delivery.overwrite to replace; {PROBE}"},
    ),
    "lost": (
        "did not arrive whole",
        {_ANY: f"the server has lost some of it: try again; if it changes files as they arrive, set delivery.verify "
         f"to none; {PROBE}"},
    ),
    "taken": (
        "is not there any more once it is closed",
        {_ANY: f"if the server moves files as soon as they are complete, set delivery.write to direct and "
         f"delivery.verify to none; {PROBE}"},
    ),
    "content": (
        "arrived with other content than it was sent with",
        {_ANY: "the server changes or damages files: tell its operator, or set delivery.verify to size"},
    ),
    "read": (
        "cannot be read back",
        {_ANY: f"if the server does not let files be read, set delivery.verify to size; {PROBE}"},
    ),
    "rename": ("cannot be given its final name", {_ANY: _DIRECT}),
    "exists": (
        "is there already, and delivery.overwrite is fail",
        {_ANY: "remove it there, or set delivery.overwrite to replace or version"},
    ),
    "list": ("cannot be listed", {_ANY: "give the account {target.username!r} permission to read it"}),
    "ask": ("cannot be looked at", {_ANY: "give the account {target.username!r} permission to read there"}),
}  # fmt: skip
