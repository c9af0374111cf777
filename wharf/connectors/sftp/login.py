"""Logging in to an SSH server: with what the target names, and nothing else (no agent, no key files of the user).

What the server offers is asked first (a login with "none", RFC 4252, 5.2); each credential is then shown at most
once: a second try of a wrong one may lock the account.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from paramiko.ssh_exception import PartialAuthentication

from wharf.model.delivery import SftpTarget
from wharf.model.errors import ConnectionLost, ServerRefused
from wharf.model.secrets import SecretRef

_KEYS = {
    ed25519.Ed25519PrivateKey: paramiko.Ed25519Key,
    ec.EllipticCurvePrivateKey: paramiko.ECDSAKey,
    rsa.RSAPrivateKey: paramiko.RSAKey,
}
# Of RFC 4253, 11.1, the farewells that say that another try would end the same: HOST_NOT_ALLOWED_TO_CONNECT,
# PROTOCOL_ERROR (as OpenSSH calls too many failures), NO_MORE_AUTH_METHODS_AVAILABLE, ILLEGAL_USER_NAME.
_FINAL = {1, 2, 14, 15}


@dataclass(frozen=True)
class Credentials:
    """What a target logs in with, resolved. A value of one process: it is never shown, stored or sent elsewhere."""

    key: Any = field(default=None, repr=False)  # paramiko.PKey
    password: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, target: SftpTarget, secret: Callable[[SecretRef], str]) -> Credentials:
        """Raises: ServerRefused if a key cannot be read; what `secret` raises."""
        return cls(
            key=_private_key(target, secret) if target.private_key else None,
            password=secret(target.password) if target.password else None,
        )


def log_in(transport: Any, target: SftpTarget, credentials: Credentials) -> None:
    """Log in over a transport whose host key is trusted; both credentials where the server wants both.

    Raises: ServerRefused if it will not have them, ConnectionLost if the connection breaks or stays silent.
    """
    login = _Login(transport, target, credentials)
    done, offered = login.attempt("none")
    while not done:
        method = next((method for method in login.left if method in offered), None)
        if method is None:
            raise login.refusal(offered)
        done, offered = login.attempt(method)


class _Login:
    """The attempts of one connection; `left` are the methods that may still be tried, best first."""

    def __init__(self, transport: Any, target: SftpTarget, credentials: Credentials) -> None:
        self.left = ["publickey"] if credentials.key else []
        self.left += ["password", "keyboard-interactive"] if credentials.password is not None else []
        self._transport = transport
        self._target = target
        self._credentials = credentials
        self._refused: list[str] = []
        self._accepted: list[str] = []
        self._offered: list[str] = []
        self._questions = 0
        self._expired = False
        self._service = False  # whether the server has opened its login service

    def attempt(self, method: str) -> tuple[bool, list[str]]:
        """Try a method -> whether we are in, and the methods that the server offers next."""
        handler = self._transport.auth_handler = _Handler(self._transport, service=self._service)
        answered = threading.Event()
        try:
            self._start(handler, method, answered)
        except (EOFError, OSError):
            raise self._broken(method) from None
        answered.wait(self._transport.auth_timeout)
        if handler.is_authenticated():
            return True, []
        if handler.get_username() is None:  # The server said no, which may have been its last word.
            self._service = True
            self._expired |= handler.expired
            return False, self._next(method, self._transport.get_exception())
        if not self._transport.is_active():
            raise self._broken(method)
        raise ConnectionLost(f"{self._target}: no answer to the login within {self._transport.auth_timeout:g} s")

    def _start(self, handler: Any, method: str, answered: threading.Event) -> None:
        user, credentials = self._target.username, self._credentials
        if method == "none":
            handler.auth_none(user, answered)
        elif method == "publickey":
            handler.auth_publickey(user, credentials.key, answered)
        elif method == "password":
            handler.auth_password(user, credentials.password, answered)
        else:
            handler.auth_interactive(user, self._answer, answered)

    def refusal(self, offered: list[str]) -> ServerRefused:
        """What was tried in vain, by its references, and what the server would have."""
        wants = ", ".join(offered) or "nothing that is known here"
        if self._refused:
            what = f"does not accept {' nor '.join(self._refused)}"
        elif self._accepted:
            what = f"accepts {' and '.join(self._accepted)}, and wants more"
        elif self._credentials == Credentials():
            what = "wants a credential, and none is configured: set sftp.private_key or sftp.password"
        else:
            what = "does not let in with what is configured"
        asks = "; it asks other questions than one for the password" if self._questions > 1 else ""
        asks += "; the password has expired, and it wants a new one" if self._expired else ""
        return ServerRefused(
            f"{self._target}: the server {what} for user {self._target.username!r} (it offers: {wants}){asks}. "
            "Check the user name and the credential, or ask the operator"
        )

    def _next(self, method: str, error: Exception | None) -> list[str]:
        """Book the server's answer -> the methods that it offers next."""
        outcome = self._accepted if isinstance(error, PartialAuthentication) else self._refused
        outcome += self._spend(method)
        if isinstance(error, (PartialAuthentication, paramiko.BadAuthenticationType)):
            self._offered = [str(name) for name in error.allowed_types]
        return self._offered

    def _spend(self, method: str) -> list[str]:
        """Take a method, and others of the same secret, from those left -> the references it stood for."""
        secrets = {"publickey": ("publickey",), "none": ()}.get(method, ("password", "keyboard-interactive"))
        self.left = [name for name in self.left if name not in secrets]
        if method == "none":
            return []
        return [_name_of(self._target, method)]

    def _broken(self, method: str) -> ServerRefused | ConnectionLost:
        """The server hung up in the middle: after a refusal that is one, else a loss like any other."""
        code, text = self._transport.farewell or (0, "")
        words = f": {text}" if text else ""
        if code in _FINAL or self._refused:
            tried = [*self._refused, *([] if method == "none" else [_name_of(self._target, method)])]
            return ServerRefused(
                f"{self._target}: the server hung up on the login{words}; it did not accept "
                f"{' nor '.join(tried) or 'us'} for user {self._target.username!r}"
            )
        return ConnectionLost(f"{self._target}: the server hung up during the login{words}")

    def _answer(self, title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        """keyboard-interactive (RFC 4256): the password to the first question, if it comes alone."""
        self._questions += len(prompts)
        if len(prompts) == self._questions == 1 and self._credentials.password is not None:
            return [self._credentials.password]
        return [""] * len(prompts)


class _Handler(paramiko.AuthHandler):
    """paramiko's side of a login, which asks for the login service once: some servers hang up on a second time."""

    def __init__(self, transport: Any, *, service: bool) -> None:
        super().__init__(transport)
        self.expired = False  # the server asked for a new password
        self._service = service

    def _request_auth(self) -> None:
        if not self._service:
            super()._request_auth()
            return
        accepted = paramiko.Message()
        accepted.add_string("ssh-userauth")
        accepted.rewind()
        self._parse_service_accept(accepted)

    def _parse_userauth_info_request(self, m: paramiko.Message) -> None:
        if self.auth_method != "password":
            super()._parse_userauth_info_request(m)
            return
        # The number stands for SSH_MSG_USERAUTH_PASSWD_CHANGEREQ here (RFC 4252, 8), which paramiko does not know.
        self.expired = True
        self.username = None
        self.auth_event.set()


def _name_of(target: SftpTarget, method: str) -> str:
    if method != "publickey":
        return f"the password {target.password}"
    certificate = f" with the certificate {target.certificate}" if target.certificate else ""
    return f"the private key {target.private_key}{certificate}"


def _private_key(target: SftpTarget, secret: Callable[[SecretRef], str]) -> Any:
    """paramiko's form of the private key, with its certificate if there is one."""
    assert target.private_key is not None
    where = f"{target}: the private key {target.private_key}"
    key = _load(secret(target.private_key).encode(), target, secret, where)
    kind = next((kind for loaded, kind in _KEYS.items() if isinstance(key, loaded)), None)
    if kind is None:
        raise ServerRefused(f"{where} is of a type that is not supported: use Ed25519, ECDSA or RSA")
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    made = kind.from_private_key(io.StringIO(plain.decode()))
    if target.certificate:
        text = secret(target.certificate)
        if not _certifies(text, key):
            raise ServerRefused(
                f"{target}: the certificate {target.certificate} is none of the private key {target.private_key}: "
                "give the text of the file ...-cert.pub that was made from its public half"
            )
        made.load_certificate(text)
    return made


def _load(text: bytes, target: SftpTarget, secret: Callable[[SecretRef], str], where: str) -> Any:
    """A private key as OpenSSH or PEM text, with or without a passphrase -> the key."""
    load = serialization.load_ssh_private_key if b"BEGIN OPENSSH" in text else serialization.load_pem_private_key
    try:
        try:
            return load(text, None)
        except TypeError:  # It is encrypted.
            if target.passphrase is None:
                raise ServerRefused(f"{where} is encrypted: set sftp.passphrase") from None
        return load(text, secret(target.passphrase).encode())
    except UnsupportedAlgorithm as error:
        raise ServerRefused(f"{where} cannot be used: {error}; make one with `ssh-keygen -t ed25519`") from None
    except ValueError:
        pass  # Its text could show what the file holds.
    if b"ENCRYPTED" in text or b"BEGIN OPENSSH" in text:
        hint = f"the passphrase {target.passphrase} is wrong, or the key is damaged" if target.passphrase else "damaged"
        raise ServerRefused(f"{where} cannot be opened: {hint}")
    raise ServerRefused(
        f"{where} is not a private key in OpenSSH or PEM form (PuTTY: `puttygen KEY -O private-openssh`)"
    )


def _certifies(text: str, key: Any) -> bool:
    """Whether `text` is an OpenSSH user certificate of `key`."""
    try:
        certificate = serialization.load_ssh_public_identity(text.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    return isinstance(certificate, serialization.SSHCertificate) and certificate.public_key() == key.public_key()
