"""Delivering files to an SFTP server: the server, how it wants files, what goes there and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from wharf.model.secrets import SecretRef

WRITE = ("rename", "dotfile", "direct")
OVERWRITE = ("replace", "skip-if-same", "version", "fail")
VERIFY = ("none", "size", "readback")


@dataclass(frozen=True, kw_only=True)
class DeliveryProfile:
    """How a server wants its files; `wharf sftp probe` finds it out.

    `write`: under a temporary name and renamed, under a hidden temporary name (a leading dot) and renamed, or under
    the final name at once. `overwrite`: what happens to a file that is there already. `verify`: what is compared
    once a file is complete.
    """

    write: str = "rename"
    overwrite: str = "replace"
    verify: str = "size"
    max_connections: int = 4  # to this server, by all workers together
    open_files: int = 64  # on one connection; 1 for a server that allows one
    stripes: int = 1  # connections that share a large file
    resume: bool = True  # go on with a file where a connection broke off
    attempts: int = 5  # connections tried without progress before a file is given up
    timeout: float = 60.0  # seconds without any answer before a connection counts as lost


@dataclass(frozen=True, kw_only=True)
class SftpTarget:
    """A server and the account there. Secrets are references; they are resolved where the connection is made."""

    host: str
    port: int = 22
    username: str
    directory: str = ""  # below which files go; empty: the account's own
    password: SecretRef | None = None
    private_key: SecretRef | None = None  # PEM or OpenSSH text
    passphrase: SecretRef | None = None
    certificate: SecretRef | None = None  # OpenSSH user certificate that goes with the private key
    known_hosts: str = ""  # a file; empty: ~/.ssh/known_hosts
    host_key: str = ""  # SHA256:... as `ssh-keygen -lf` prints it; goes before known_hosts
    proxy_command: str = ""  # %h and %p stand for host and port
    jump: SftpTarget | None = None
    delivery: DeliveryProfile = field(default_factory=DeliveryProfile)

    def __str__(self) -> str:
        return f"sftp://{self.username}@{self.host}:{self.port}"


@dataclass(frozen=True)
class OutboundFile:
    """A complete file that is to appear on the server."""

    uri: str  # gs://... or a local path
    remote_path: str  # below the target's directory, or absolute
    bytes: int
    crc32c: str  # base64, as Cloud Storage shows it
    owner: str = ""  # whose file it is, for the caller: comes back in the result
    again: bool = False  # an earlier attempt may have sent it: if the same is there already, it is left alone


@dataclass(frozen=True)
class DeliveryResult:
    """What came of one file. `error` is empty if and only if it is on the server as the profile wants it."""

    file: OutboundFile
    remote_path: str  # the name it has there, which `version` may have changed
    attempts: int  # times its upload was begun, or went on after a break
    seconds: float
    skipped: bool = False  # it was there already (skip-if-same)
    error: str = ""
