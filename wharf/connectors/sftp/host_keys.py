"""Which host keys of an SFTP server are trusted: the pinned fingerprint, else the lines of a known_hosts file.

A fingerprint is what `ssh-keygen -lf` prints: `SHA256:` and the unpadded base64 of the digest of the public key. The
file's format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": hashed names, `[host]:port`, patterns, `@revoked`
and `@cert-authority` are understood.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from wharf.model.delivery import SftpTarget
from wharf.model.errors import ServerRefused, UsageError

# What each type of key may sign with, strongest first: the algorithms offered to a server.
_ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
_SHA256 = re.compile(r"(?<!\S)SHA256:[A-Za-z0-9+/]{43}(?==?(?!\S))")
_DEFAULT_FILE = "~/.ssh/known_hosts"


@dataclass(frozen=True)
class HostKey:
    """A public key of a server: its type (`ssh-ed25519`) and its bytes as they go over the wire (RFC 4253, 6.6)."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """`SHA256:...`."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.fingerprint} ({self.type})"


@dataclass(frozen=True)
class Trust:
    """What is known of one server before it is asked.

    `pin` goes before everything else; without one `trusted`, `revoked` and `has_authority` tell what the lines of
    `file` say about this server.
    """

    target: SftpTarget
    file: str
    pin: str = ""
    trusted: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    has_authority: bool = False

    @classmethod
    def of(cls, target: SftpTarget) -> Trust:
        """Raises: UsageError if `host_key` is no SHA256 fingerprint, or the `known_hosts` file cannot be read."""
        file = target.known_hosts or _DEFAULT_FILE
        if target.host_key:
            return cls(target, file, pin=_fingerprint(target))
        trusted, revoked, has_authority = [], [], False
        for line in _read(target).splitlines():
            marker, names, key = _split(line)
            if key is None or not _matches(names, _name(target)):
                continue
            if marker == "@revoked":
                revoked.append(key)
            elif marker == "@cert-authority":
                has_authority = True
            elif not marker:
                trusted.append(key)
        return cls(target, file, trusted=tuple(trusted), revoked=tuple(revoked), has_authority=has_authority)

    def algorithms(self, shown: tuple[HostKey, ...] = ()) -> tuple[str, ...]:
        """Signature algorithms to offer, those of known keys first: a server that has keys of several types shows
        the one we know. Those of keys that were `shown` already, and not trusted, are left out."""
        known = [key.type for key in self.trusted]
        refused = [key.type for key in shown]
        types = sorted((type_ for type_ in _ALGORITHMS if type_ not in refused), key=lambda type_: type_ not in known)
        return tuple(algorithm for type_ in types for algorithm in _ALGORITHMS[type_])

    def accepts(self, key: HostKey) -> bool:
        """Whether a server that shows `key` is the one we mean."""
        if self.pin:
            return hmac.compare_digest(self.pin, key.fingerprint)
        return key in self.trusted and key not in self.revoked

    def refusal(self, shown: tuple[HostKey, ...]) -> ServerRefused:
        """Why none of the keys that were `shown` is trusted, and what to do about it."""
        keys = ", ".join(map(str, shown))
        return ServerRefused(f"{self.target}: {self._reason(shown, keys)}. Nothing was sent, no credential either.")

    def _reason(self, shown: tuple[HostKey, ...], keys: str) -> str:
        name, port = self.target.host, self.target.port
        scan = f"`ssh-keyscan -p {port} {name} >> {self.file}`"
        pin = f"sftp.host_key to {shown[0].fingerprint}"
        if any(key in self.revoked for key in shown):
            return f"the server shows {keys}, which {self.file} marks as @revoked: ask its operator for the new key"
        if self.pin or self.trusted:
            expected = self.pin or ", ".join(map(str, self.trusted))
            place = "sftp.host_key" if self.pin else self.file
            mend = (
                "" if self.pin else f", or remove the old line with `ssh-keygen -R '{_name(self.target)}'` and {scan}"
            )
            return (
                f"THE HOST KEY HAS CHANGED, somebody may be listening in between: {place} expects {expected}, "
                f"the server shows {keys}. Only if its operator confirms the new key, set {pin}{mend}"
            )
        if self.has_authority:
            return (
                f"{self.file} has a @cert-authority line alone for this server, and host certificates are not "
                f"supported: set {pin} if the operator confirms it"
            )
        return f"the host key is not known; the server shows {keys}. If its operator confirms it, set {pin}, or {scan}"


def _fingerprint(target: SftpTarget) -> str:
    found = _SHA256.search(target.host_key)
    if not found:
        kind = "an MD5 fingerprint, which can be forged" if "MD5" in target.host_key else "no SHA256 fingerprint"
        raise UsageError(
            f"{target}: sftp.host_key is {kind}: write SHA256:..., as "
            f"`ssh-keyscan -p {target.port} {target.host} | ssh-keygen -lf -` prints it"
        )
    return found[0]


def _read(target: SftpTarget) -> str:
    """The text of the known_hosts file; none where the default one does not exist."""
    path = Path(target.known_hosts or _DEFAULT_FILE)
    try:
        return path.expanduser().read_text(errors="replace")
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody's home is known.
        if not target.known_hosts:
            return ""
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{target}: sftp.known_hosts: {path} cannot be read ({reason}): mend the path, or set "
            "sftp.host_key, which workers have without a file"
        ) from error


def _name(target: SftpTarget) -> str:
    """How a known_hosts file calls the server."""
    host = target.host.lower()
    return host if target.port == 22 else f"[{host}]:{target.port}"


def _split(line: str) -> tuple[str, str, HostKey | None]:
    """A line -> its marker, if any, its names and its key; no key for comments and what is not understood."""
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#"):
        return marker, "", None
    try:
        return marker, words[0], HostKey(words[1], base64.b64decode(words[2], validate=True))
    except (binascii.Error, ValueError):
        return marker, "", None


def _matches(names: str, name: str) -> bool:
    """Whether the names of a line mean the server: a list of patterns, or one hashed name."""
    if names.startswith("|1|"):
        salt, _, digest = names[3:].partition("|")
        try:
            expected = hmac.digest(base64.b64decode(salt), name.encode(), "sha1")
            return hmac.compare_digest(expected, base64.b64decode(digest))
        except (binascii.Error, ValueError):
            return False
    patterns = names.lower().split(",")
    if any(_glob(pattern[1:], name) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(_glob(pattern, name) for pattern in patterns)


def _glob(pattern: str, name: str) -> bool:
    """`*` and `?` only: brackets stand for themselves."""
    expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(expression, name) is not None
