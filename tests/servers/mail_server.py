"""A real mail server, with STARTTLS, implicit TLS or none, that keeps what it gets and refuses what it is told to."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import socket
import ssl
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "wharf", "hunter2-and-more"


class Mailbox:
    """Takes messages; `recipients` maps an address to a reply that refuses it, `data` is the reply to a message."""

    def __init__(self, recipients: dict[str, str] | None = None, data: list[str] | None = None) -> None:
        self.messages: list[tuple[list[str], EmailMessage]] = []
        self.tries = 0
        self._recipients, self._data = recipients or {}, data or []

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self._recipients:
            return self._recipients[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - as above
        self.tries += 1
        if self._data:
            return self._data.pop(0)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append((envelope.rcpt_tos, message))
        return "250 OK"


def _sign_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)


class MailServer:
    """Serves `mailbox` on a free port, with the certificate that `make_certificates` put into a folder."""

    def __init__(self, mailbox: Mailbox, certificates: Path, tls: str, *, auth: bool = True) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem")
        options: dict[str, Any] = {"hostname": "test"}
        if tls == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if auth:
            options |= {"authenticator": _sign_in, "auth_required": True, "auth_require_tls": tls == "starttls"}

        class Server(Controller):
            def factory(self) -> SMTP:
                return SMTP(self.handler, **options)

        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._server = Server(
            mailbox, hostname="127.0.0.1", port=self.port, ssl_context=context if tls == "implicit" else None
        )

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


def make_certificates(folder: Path) -> None:
    """Write `ca.pem`, and `server.pem`: key and certificate of 127.0.0.1, signed by it."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)

    def certificate(name: str, public: Any, *extensions: tuple[x509.ExtensionType, bool]) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        builder = x509.CertificateBuilder(named("test authority"), named(name), public, x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(hours=1))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(ca_key, hashes.SHA256())

    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    ca = certificate(
        "test authority",
        ca_key.public_key(),
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage, True),
        (identifier, False),
    )
    own = certificate(
        "127.0.0.1",
        key.public_key(),
        (x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(private + own.public_bytes(pem))
