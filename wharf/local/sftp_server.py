"""The embedded SFTP server: `python -m wharf.local.sftp_server DIR PORT` serves DIR/sftp to one account.

    DIR/sftp            what the account sees as /
    DIR/sftp_host_key   the server's key          DIR/sftp_password   the account's password

Key and password are made at the first start and kept; only their owner may read them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from wharf.model.delivery import SftpTarget
from wharf.model.secrets import SecretRef

USERNAME = "wharf"


@dataclass(frozen=True)
class SftpAccount:
    """The one account of the server of a stack, on a port of this machine."""

    directory: Path  # the stack's
    port: int

    @property
    def files(self) -> Path:
        """Where files arrive."""
        return self.directory / "sftp"

    @property
    def password_file(self) -> Path:
        return self.directory / "sftp_password"

    @property
    def key_file(self) -> Path:
        return self.directory / "sftp_host_key"

    def prepare(self) -> None:
        """Make folder, host key and password where they are missing."""
        self.files.mkdir(parents=True, exist_ok=True)
        _keep(self.password_file, lambda: secrets.token_urlsafe(24).encode())
        _keep(self.key_file, lambda: asyncssh.generate_private_key("ssh-ed25519").export_private_key())

    def target(self) -> SftpTarget:
        """The account as a target; its password is a reference to the file."""
        key = asyncssh.read_private_key(self.key_file)
        return SftpTarget(
            host="127.0.0.1",
            port=self.port,
            username=USERNAME,
            directory="/",
            password=SecretRef(f"file:{self.password_file}"),
            host_key=key.get_fingerprint(),
        )

    def environment(self) -> dict[str, str]:
        """The variables that lead to the account, its password among them."""
        target = self.target()
        return {
            "SFTP_HOST": target.host,
            "SFTP_PORT": str(target.port),
            "SFTP_USERNAME": target.username,
            "SFTP_PASSWORD": self.password_file.read_text(),
            "SFTP_HOST_KEY": target.host_key,
            "SFTP_DIRECTORY": target.directory,
        }


def _keep(path: Path, make: Callable[[], bytes]) -> None:
    """Fill `path`, where it is missing, with something that only its owner may read."""
    if path.exists():
        return
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(make())
    unfinished.rename(path)


class _Login(asyncssh.SSHServer):
    def __init__(self, password: str) -> None:
        self._password = password

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return username == USERNAME and secrets.compare_digest(password.encode(), self._password.encode())


async def _serve(account: SftpAccount) -> None:
    password = account.password_file.read_text()
    server = await asyncssh.listen(
        "127.0.0.1",
        account.port,
        server_host_keys=[str(account.key_file)],
        server_factory=lambda: _Login(password),
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=os.fsencode(account.files)),
    )
    await server.wait_closed()


def main() -> None:
    directory, port = sys.argv[1:]
    asyncio.run(_serve(SftpAccount(Path(directory), int(port))))


if __name__ == "__main__":
    main()
