"""Connections to SFTP servers: the way there, whom we trust, the login, and channels that speak SFTP.

    with connect(target, secret) as connection:
        channel = connection.open_sftp()     # a new one each time; the caller speaks the protocol

The order is fixed: the server's host key is compared with what is known of it, and only then a credential is sent.
Errors of paramiko and of sockets become ours in one place, `as_wharf_error`.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Self

import paramiko
from paramiko import ssh_exception

from wharf.connectors.sftp.host_keys import HostKey, Trust
from wharf.connectors.sftp.login import Credentials, log_in
from wharf.connectors.sftp.packetizer import Packetizer
from wharf.connectors.sftp.socket import GatheringSocket
from wharf.connectors.sftp.way import by_command, by_tcp, last_line
from wharf.model.delivery import SftpTarget
from wharf.model.errors import ConnectionLost, ServerRefused, UsageError, WharfError
from wharf.model.secrets import SecretRef

# AES-GCM does cipher and checksum in one pass of the processor's AES unit.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_MACS = (
    *("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"),
    *("hmac-sha2-256", "hmac-sha2-512", "hmac-sha1"),
)
# What a server may send ahead of us: 16 MiB keep 300 MB/s going over 50 ms, eight times paramiko's 2 MiB. Packets
# above 32 KiB gained nothing with OpenSSH. How much we may send ahead is the server's to say.
_WINDOW = 16 << 20
_PACKET = 32 << 10
_KEEPALIVE_SECONDS = 15
_END_SECONDS = 5.0

_PROHIBITED = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254, 5.1
_FINAL = (
    ssh_exception.AuthenticationException,
    ssh_exception.BadHostKeyException,
    ssh_exception.ConfigParseError,
    ssh_exception.CouldNotCanonicalize,
    ssh_exception.IncompatiblePeer,
    ssh_exception.MessageOrderError,  # "strict key exchange" guards against somebody in between
)


@dataclass
class Connection:
    """An SSH connection that is logged in. Used as a context manager, or closed by `close`."""

    target: SftpTarget
    _transport: Any = field(repr=False)
    _held: ExitStack = field(repr=False)

    @property
    def cipher(self) -> str:
        """The cipher that protects what we send: `aes128-gcm@openssh.com`."""
        cipher: str = self._transport.local_cipher
        return cipher

    def open_sftp(self) -> paramiko.Channel:
        """A new session with the "sftp" subsystem behind it; no SFTP packet was exchanged yet.

        Its reads and writes time out (TimeoutError) after the target's `delivery.timeout`.

        Raises: ConnectionLost if the connection is broken, silent or has no room for another session, ServerRefused
        if the account may not use SFTP.
        """
        timeout = self.target.delivery.timeout
        with errors_of(self.target):
            channel = self._transport.open_session()
        channel.settimeout(timeout)
        silence = threading.Timer(timeout, channel.close)  # paramiko itself would wait for the answer for ever.
        silence.daemon = True
        silence.start()
        try:
            channel.invoke_subsystem("sftp")
        except paramiko.SSHException as error:
            if not self._transport.is_active():
                raise ConnectionLost(f"{self.target}: the connection broke while SFTP was asked for") from error
            if not silence.is_alive():
                raise ConnectionLost(f"{self.target}: no answer within {timeout:g} s") from error
            raise ServerRefused(
                f"{self.target}: the server does not offer SFTP to user {self.target.username!r}: its operator must "
                "allow the sftp subsystem for this account"
            ) from error
        finally:
            silence.cancel()
        return channel

    def open_tunnel(self, host: str, port: int) -> paramiko.Channel:
        """A channel through this server to another one (direct-tcpip).

        Raises: ConnectionLost if that cannot be reached, ServerRefused if this server does not forward.
        """
        try:
            with errors_of(self.target, paramiko.ChannelException):
                return self._transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0))
        except paramiko.ChannelException as error:
            if error.code == _PROHIBITED:
                raise ServerRefused(
                    f"{self.target}: this jump host may not forward to {host}:{port}: its operator must allow it "
                    "(AllowTcpForwarding, PermitOpen)"
                ) from error
            raise ConnectionLost(f"{self.target}: this jump host does not reach {host}:{port}: {error.text}") from error

    def close(self) -> None:
        """End the connection, with its jump host or proxy command. May be called twice."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(target: SftpTarget, secret: Callable[[SecretRef], str]) -> Connection:
    """Connect and log in. `secret` gives the text behind a reference.

    Each step (TCP, greeting, key exchange, login) may take `target.delivery.timeout` seconds.

    Raises: ConnectionLost if there is no connection or it breaks, ServerRefused if the server is not trusted or does
    not let us in, UsageError if the target contradicts itself; what `secret` raises.
    """
    if target.jump and target.proxy_command:
        raise UsageError(f"{target}: sftp.jump and sftp.proxy_command exclude each other: remove one")
    trust = Trust.of(target)
    credentials = Credentials.read(target, secret)
    with ExitStack() as held:
        jump = held.enter_context(connect(target.jump, secret)) if target.jump else None
        transport = _trusted(target, trust, jump, held)
        with errors_of(target):
            log_in(transport, target, credentials)
            transport.set_keepalive(_KEEPALIVE_SECONDS)
        return Connection(target, transport, held.pop_all())


def as_wharf_error(error: Exception, target: SftpTarget, detail: str = "") -> WharfError:
    """What an error of a socket or of paramiko means to the caller; `detail` goes into its text."""
    detail = f" ({detail})" if detail else ""
    if isinstance(error, _FINAL):
        return ServerRefused(f"{target}: {error}{detail}")
    return ConnectionLost(f"{target}: {_reason(error, target)}{detail}")


@contextmanager
def errors_of(target: SftpTarget, *passed: type[Exception]) -> Iterator[None]:
    """Raises: ConnectionLost or ServerRefused for what paramiko and sockets raise inside, but those `passed` on."""
    try:
        yield
    except passed:
        raise
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise as_wharf_error(error, target) from error


def _reason(error: Exception, target: SftpTarget) -> str:
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"the name {target.host} is not found: check sftp.host"
    if isinstance(error, TimeoutError):
        return f"no answer within {target.delivery.timeout:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens on this port: check sftp.host and sftp.port"
    if isinstance(error, paramiko.ChannelException):
        return f"the server opens no further session on this connection: {error.text}"
    if isinstance(error, EOFError):
        return "the server hung up"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    if isinstance(error, paramiko.SSHException):
        return str(error) or type(error).__name__
    return f"the server does not keep to the protocol ({type(error).__name__})"


def _trusted(target: SftpTarget, trust: Trust, jump: Connection | None, held: ExitStack) -> Any:
    """A transport to a server whose host key is trusted. With a fingerprint, its keys are seen type by type."""
    shown: tuple[HostKey, ...] = ()
    while True:
        with ExitStack() as attempt:
            try:
                transport = _shake_hands(target, trust.algorithms(shown), jump, attempt)
            except paramiko.IncompatiblePeer as error:
                # It was compatible with more types on offer: the server has no further key.
                raise trust.refusal(shown) if shown else as_wharf_error(error, target) from error
            key = HostKey(transport.host_key.get_name(), transport.host_key.asbytes())
            if trust.accepts(key):
                held.enter_context(attempt.pop_all())
                return transport
        shown += (key,)
        if not trust.pin or not trust.algorithms(shown):
            raise trust.refusal(shown)


def _shake_hands(target: SftpTarget, key_types: tuple[str, ...], jump: Connection | None, held: ExitStack) -> Any:
    """A transport with keys exchanged, nobody logged in. Raises: paramiko.IncompatiblePeer, ConnectionLost."""
    said: IO[bytes] | None = None
    if target.proxy_command:
        way, said = by_command(target, held)
    elif jump:
        way = held.enter_context(jump.open_tunnel(target.host, target.port))
    else:
        try:
            way = by_tcp(target, held)
        except (OSError, UnicodeError) as error:
            raise as_wharf_error(error, target) from error
    transport = _Transport(
        GatheringSocket(way),
        default_window_size=_WINDOW,
        default_max_packet_size=_PACKET,
        packetizer_class=Packetizer,
    )
    held.callback(_end, transport)
    _prefer(transport, key_types, target.delivery.timeout)
    try:
        transport.start_client(timeout=target.delivery.timeout)
        if not transport.initial_kex_done:
            raise TimeoutError
    except paramiko.IncompatiblePeer:
        raise
    except Exception as error:  # paramiko passes on whatever its thread stumbled over
        _end(transport)
        raise as_wharf_error(_greeting_fault(error, transport), target, last_line(said) if said else "") from error
    return transport


def _prefer(transport: Any, key_types: tuple[str, ...], timeout: float) -> None:
    options = transport.get_security_options()
    options.ciphers, options.digests, options.key_types = _CIPHERS, _MACS, key_types
    transport.auth_timeout = transport.channel_timeout = transport.clear_to_send_timeout = timeout
    # The deadline of the whole handshake is ours: paramiko's own would look like a server that hung up.
    transport.banner_timeout = transport.handshake_timeout = timeout + _END_SECONDS


def _greeting_fault(error: Exception, transport: Any) -> Exception:
    """What really went wrong, where paramiko tells of a greeting that it could not read."""
    if transport.remote_version:
        return error
    cause = error.__context__ if isinstance(error, paramiko.SSHException) else error
    if isinstance(cause, (EOFError, ConnectionResetError)):
        return ConnectionError(
            "the server hung up before it greeted: it may have too many connections, or not be an SSH server"
        )
    if isinstance(cause, OSError):
        return cause
    return ConnectionError("what answers there is not an SSH server: check sftp.host and sftp.port")


def _end(transport: Any) -> None:
    """Close a transport, and see its threads end."""
    try:
        transport.sock.shutdown(socket.SHUT_RDWR)  # Its thread wakes up at once.
    except OSError:
        pass  # It is closed already.
    transport.close()
    transport.packetizer.complete_handshake()  # The timer of a handshake that broke off would outlive the process.
    transport.join(_END_SECONDS)


class _Transport(paramiko.Transport):
    """paramiko's transport, which tells of its troubles at DEBUG alone: they come to the caller as errors.

    `farewell` is code and text of the message with which the server hung up.
    """

    farewell: tuple[int, str] | None = None

    def _log(self, level: int, msg: Any, *args: Any) -> None:
        super()._log(logging.DEBUG, msg, *args)

    def _parse_disconnect(self, m: Any) -> None:
        self.farewell = (m.get_int(), m.get_text())
