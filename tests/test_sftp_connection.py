"""Connections to real SSH servers: OpenSSH's, and others with the habits of those that are out there."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from paramiko import ssh_exception

from tests.servers.sftp_faults import PASSWORD, USER, FaultyServer, Greeter, Sound
from tests.servers.sshd import Sshd, descendants, write_key_pair
from wharf.connectors.sftp.connection import as_wharf_error, connect
from wharf.model.delivery import DeliveryProfile, SftpTarget
from wharf.model.errors import ConnectionLost, ServerRefused, UsageError
from wharf.model.secrets import SecretRef

SHORT = DeliveryProfile(timeout=0.5)
WRONG_PASSWORD = "hunter2-does-not-open-this"  # nowhere else in the suite
MakeSshd = Callable[..., Sshd]


def secret(ref: SecretRef) -> str:
    """Secrets of these tests are files, and texts that stand in their reference."""
    return Path(ref.rest).read_text() if ref.scheme == "file" else WRONG_PASSWORD


def greets(channel: paramiko.Channel) -> bool:
    """Whether an SFTP server of version 3 answers: SSH_FXP_INIT -> SSH_FXP_VERSION."""
    channel.sendall(b"\0\0\0\5\1\0\0\0\3")
    return channel.recv(9)[4:] == b"\2\0\0\0\3"


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met


def refused(target: SftpTarget, read: Callable[[SecretRef], str] = secret) -> str:
    """Connect in vain -> why."""
    with pytest.raises(ServerRefused) as refusal:
        connect(target, read)
    return str(refusal.value)


def lost(target: SftpTarget) -> str:
    with pytest.raises(ConnectionLost) as loss:
        connect(target, secret)
    return str(loss.value)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Not even a timer: it would hold up the end of a process."""
    before = set(threading.enumerate())
    yield
    assert eventually(lambda: set(threading.enumerate()) <= before), threading.enumerate()


@pytest.fixture
def password_server(tmp_path: Path) -> Iterator[FaultyServer]:
    with FaultyServer(Sound, tmp_path / "files") as server:
        yield server


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., str]:
    """`listed(line, ...)` -> a known_hosts file of these lines."""

    def write(*lines: str) -> str:
        path = tmp_path / "known_hosts"
        path.write_text("".join(lines))
        return str(path)

    return write


# ---- connections and sessions


def test_one_connection_serves_several_sessions(sshd: Sshd) -> None:
    with connect(sshd.target(), secret) as connection:
        assert connection.cipher == "aes128-gcm@openssh.com"
        channels = [connection.open_sftp() for _ in range(3)]
        assert all(greets(channel) for channel in channels)
        assert sshd.connections() == 1
    assert eventually(lambda: sshd.connections() == 0)
    connection.close()


def test_a_server_without_gcm_is_spoken_to_in_ctr(make_sshd: MakeSshd) -> None:
    server = make_sshd(config=["Ciphers aes256-ctr,aes256-cbc"])
    with connect(server.target(), secret) as connection:
        assert connection.cipher == "aes256-ctr"
        assert greets(connection.open_sftp())


def test_a_server_with_old_ciphers_alone_is_refused(make_sshd: MakeSshd) -> None:
    server = make_sshd(config=["Ciphers aes256-cbc"])
    assert "no acceptable ciphers" in refused(server.target())


def test_a_session_too_many_is_a_loss_and_the_first_goes_on(make_sshd: MakeSshd) -> None:
    server = make_sshd(config=["MaxSessions 1"])
    with connect(server.target(), secret) as connection:
        channel = connection.open_sftp()
        with pytest.raises(ConnectionLost, match="no further session on this connection"):
            connection.open_sftp()
        assert greets(channel)


def test_a_connection_that_dropped_is_a_loss(make_sshd: MakeSshd) -> None:
    server = make_sshd()
    with connect(server.target(), secret) as connection:
        channel = connection.open_sftp()
        server.kill_connections()
        assert channel.recv(1) == b""
        with pytest.raises(ConnectionLost):
            connection.open_sftp()


def test_a_server_that_stands_still_is_a_loss_after_the_timeout(make_sshd: MakeSshd) -> None:
    server = make_sshd()
    with connect(server.target(delivery=SHORT), secret) as connection:
        channel = connection.open_sftp()
        for pid in descendants(server.pid):
            os.kill(pid, signal.SIGSTOP)
        channel.send(b"\0\0\0\5\1\0\0\0\3")
        with pytest.raises(TimeoutError):
            channel.recv(9)
        with pytest.raises(ConnectionLost, match=r"Timeout|within 0\.5 s"):
            connection.open_sftp()


def test_an_account_without_sftp_is_refused() -> None:
    with (
        TwoFactors(["password"]) as server,
        connect(server.target(password=SecretRef("env:A")), lambda _: PASSWORD) as connection,
        pytest.raises(ServerRefused, match="does not offer SFTP to user 'wharf'"),
    ):
        connection.open_sftp()


# ---- whom we trust


def test_an_unknown_server_gets_no_credential(password_server: FaultyServer, listed: Callable[..., str]) -> None:
    file = listed("# nobody is known\n", "other.example ssh-ed25519 AAAA\n")
    target = password_server.target(host_key="", known_hosts=file)
    text = refused(target)
    assert "the host key is not known" in text
    assert f"set sftp.host_key to {password_server.target().host_key}" in text
    assert f"`ssh-keyscan -p {target.port} 127.0.0.1 >> {file}`" in text
    assert password_server.passwords == []


def test_a_changed_host_key_is_refused_before_any_credential(
    password_server: FaultyServer, sshd: Sshd, listed: Callable[..., str]
) -> None:
    target = password_server.target()
    other = listed(sshd.known_hosts_line("ed25519", f"[127.0.0.1]:{target.port}"))
    for changed in ({"host_key": sshd.fingerprint}, {"host_key": "", "known_hosts": other}):
        text = refused(password_server.target(**changed))
        assert "THE HOST KEY HAS CHANGED" in text
        assert f"expects {sshd.fingerprint}" in text
        assert f"the server shows {target.host_key}" in text
    assert password_server.passwords == []


@pytest.mark.parametrize("names", ["{name}", "other,{name}", "*", "[127.0.0.?]:*", "{hashed}"])
def test_a_known_hosts_line_names_the_server(sshd: Sshd, listed: Callable[..., str], names: str) -> None:
    name = f"[127.0.0.1]:{sshd.port}"
    written = names.format(name=name, hashed=paramiko.HostKeys.hash_host(name))
    file = listed("garbage\n", "bad ssh-ed25519 %%%\n", sshd.known_hosts_line("ed25519", written))
    connect(sshd.target(host_key="", known_hosts=file), secret).close()


@pytest.mark.parametrize("names", ["127.0.0.1", "*,![127.0.0.1]:*", "[127.0.0.2]:{port}", "{hashed}", "|1|x|y"])
def test_a_known_hosts_line_names_another_server(sshd: Sshd, listed: Callable[..., str], names: str) -> None:
    written = names.format(port=sshd.port, hashed=paramiko.HostKeys.hash_host("127.0.0.1"))
    file = listed(sshd.known_hosts_line("ed25519", written))
    assert "the host key is not known" in refused(sshd.target(host_key="", known_hosts=file))


def test_the_users_own_known_hosts_is_the_default(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(sshd.known_hosts_line("ed25519"))
    program = (
        "import sys, pathlib; from wharf.connectors.sftp.connection import connect\n"
        "from wharf.model.delivery import SftpTarget; from wharf.model.secrets import SecretRef\n"
        "target = SftpTarget(host='127.0.0.1', port=int(sys.argv[1]), username=sys.argv[2],\n"
        "                    private_key=SecretRef(sys.argv[3]))\n"
        "connect(target, lambda ref: pathlib.Path(ref.rest).read_text()).close()"
    )
    whole = sshd.target()
    words = [str(whole.port), whole.username, str(whole.private_key)]
    command = ["env", f"HOME={tmp_path}", sys.executable, "-c", program, *words]
    assert subprocess.run(command, check=False, capture_output=True, text=True).stderr == ""


def test_a_revoked_key_is_refused(sshd: Sshd, listed: Callable[..., str]) -> None:
    line = sshd.known_hosts_line("ed25519")
    file = listed(line, f"@revoked {line.replace(line.split()[0], '*')}")
    assert "marks as @revoked" in refused(sshd.target(host_key="", known_hosts=file))


def test_a_certificate_authority_alone_is_not_supported(sshd: Sshd, listed: Callable[..., str]) -> None:
    line = sshd.known_hosts_line("ed25519")
    file = listed(f"@cert-authority {line}")
    assert "host certificates are not supported" in refused(sshd.target(host_key="", known_hosts=file))
    file = listed(f"@cert-authority {line}", line)
    connect(sshd.target(host_key="", known_hosts=file), secret).close()


def test_a_server_with_several_keys_is_known_by_any_of_them(make_sshd: MakeSshd, listed: Callable[..., str]) -> None:
    server = make_sshd(host_keys=["ed25519", "ecdsa", "rsa"])
    for kind in server.host_keys:
        connect(server.target(host_key=server.fingerprint_of(kind)), secret).close()
        known = listed(server.known_hosts_line(kind))
        connect(server.target(host_key="", known_hosts=known), secret).close()
    text = refused(server.target(host_key=f"SHA256:{'A' * 43}"))
    assert all(server.fingerprint_of(kind) in text for kind in server.host_keys)


def test_the_whole_line_of_ssh_keygen_is_a_fingerprint(sshd: Sshd) -> None:
    line = subprocess.check_output(["ssh-keygen", "-lf", str(sshd.host_keys["ed25519"])], text=True)
    connect(sshd.target(host_key=line), secret).close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("MD5:9d:38:5b:83:a9:17:52:92:56:1a:5e:c4:d4:81:8e:0a", "an MD5 fingerprint, which can be forged"),
        ("SHA256:tooshort", "no SHA256 fingerprint"),
        (f"SHA256:{'A' * 44}", "no SHA256 fingerprint"),
    ],
)
def test_another_fingerprint_is_refused_with_the_remedy(sshd: Sshd, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=rf"{reason}: write SHA256:.*ssh-keyscan -p {sshd.port}"):
        connect(sshd.target(host_key=text), secret)


def test_a_known_hosts_file_that_is_not_there_is_named(sshd: Sshd, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sftp.known_hosts: .*/nowhere cannot be read \(No such file"):
        connect(sshd.target(host_key="", known_hosts=str(tmp_path / "nowhere")), secret)


# ---- logging in


@pytest.mark.parametrize("login", ["password", "keyboard-interactive"])
def test_a_password_lets_in(tmp_path: Path, login: str) -> None:
    with FaultyServer(Sound, tmp_path / "files", login=login) as server:
        with connect(server.target(), secret) as connection:
            assert greets(connection.open_sftp())
        assert server.passwords == [PASSWORD]


@pytest.mark.parametrize("login", ["password", "keyboard-interactive"])
def test_a_wrong_password_is_tried_once_and_shown_nowhere(
    tmp_path: Path, login: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with FaultyServer(Sound, tmp_path / "files", login=login) as server, caplog.at_level(logging.DEBUG):
        with pytest.raises(ServerRefused, match="does not accept the password env:PW for user 'wharf'") as refusal:
            connect(server.target(password=SecretRef("env:PW")), secret)
        assert server.passwords == [WRONG_PASSWORD]
    assert "paramiko.transport" in {record.name for record in caplog.records}
    captured = "".join(capfd.readouterr())
    assert WRONG_PASSWORD not in caplog.text + captured + str(refusal.value) + repr(refusal.getrepr(showlocals=True))


def test_troubles_are_told_by_errors_and_not_by_paramikos_log(sshd: Sshd) -> None:
    program = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from wharf.connectors.sftp.connection import connect; from wharf.model.delivery import SftpTarget\n"
        "from wharf.model.errors import ConnectionLost\n"
        "import sys\n"
        "try: connect(SftpTarget(host='127.0.0.1', port=int(sys.argv[1]), username='x'), str)\n"
        "except ConnectionLost: print('lost')"
    )
    with Greeter(b"SSH-2.0-Greeter\r\n") as server:
        command = [sys.executable, "-c", program, str(server.target().port)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("lost\n", "")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("form", ["OpenSSH", "PKCS8", "TraditionalOpenSSL"])
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_private_keys_of_every_form_let_in(sshd: Sshd, tmp_path: Path, kind: str, form: str, passphrase: str) -> None:
    if (kind, form) == ("ed25519", "TraditionalOpenSSL"):
        form = "PKCS8"  # That form knows no Ed25519.
    public = write_key_pair(tmp_path / "made", kind)
    key: Any = serialization.load_ssh_private_key((tmp_path / "made").read_bytes(), None)
    lock: Any = serialization.NoEncryption()
    if passphrase:
        lock = serialization.BestAvailableEncryption(passphrase.encode())
    path = tmp_path / "key"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), lock))
    (tmp_path / "passphrase").write_text(passphrase)
    with sshd.authorized(public):
        target = sshd.target(private_key=SecretRef(f"file:{path}"), passphrase=SecretRef(f"file:{tmp_path}/passphrase"))
        connect(target, secret).close()


def locked_key(folder: Path) -> Path:
    path = folder / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", str(path)], check=True)
    return path


def test_a_key_that_cannot_be_read_is_named_and_not_shown(sshd: Sshd, tmp_path: Path) -> None:
    locked = SecretRef(f"file:{locked_key(tmp_path)}")
    text = refused(sshd.target(private_key=locked))
    assert f"the private key {locked} is encrypted: set sftp.passphrase" in text
    text = refused(sshd.target(private_key=locked, passphrase=SecretRef("env:PASSPHRASE")))
    assert f"the private key {locked} cannot be opened: the passphrase env:PASSPHRASE is wrong" in text
    assert WRONG_PASSWORD not in text

    for content in (WRONG_PASSWORD, f"PuTTY-User-Key-File-3: {WRONG_PASSWORD}", ""):
        (tmp_path / "garbage").write_text(content)
        text = refused(sshd.target(private_key=SecretRef(f"file:{tmp_path}/garbage")))
        assert "is not a private key in OpenSSH or PEM form" in text
        assert WRONG_PASSWORD not in text
    damaged = sshd.client_key.read_text().replace("b3BlbnNzaC1rZXk", "b3BlbnNzaC1rZXl")
    (tmp_path / "damaged").write_text(damaged)
    assert "cannot be opened" in refused(sshd.target(private_key=SecretRef(f"file:{tmp_path}/damaged")))


def test_a_certificate_lets_in_a_key_that_the_server_does_not_know(make_sshd: MakeSshd, tmp_path: Path) -> None:
    authority, key = tmp_path / "authority", tmp_path / "key"
    for path in (authority, key):
        write_key_pair(path, "ed25519")
    server = make_sshd(config=[f"TrustedUserCAKeys {authority.with_suffix('.pub')}"])
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", server.target().username]
    subprocess.run([*sign, f"{key}.pub"], check=True)
    target = server.target(private_key=SecretRef(f"file:{key}"))
    certificate = SecretRef(f"file:{key}-cert.pub")
    assert f"does not accept the private key file:{key} for user" in refused(target)
    connect(server.target(private_key=target.private_key, certificate=certificate), secret).close()
    text = refused(server.target(certificate=certificate))
    assert f"the certificate {certificate} is none of the private key {server.target().private_key}" in text


@pytest.mark.parametrize("order", [["publickey", "password"], ["password", "publickey"]])
def test_a_server_that_wants_key_and_password_gets_both(sshd: Sshd, order: list[str]) -> None:
    key = SecretRef(f"file:{sshd.client_key}")
    password = SecretRef("env:PW")

    def read(ref: SecretRef) -> str:
        return PASSWORD if ref == password else secret(ref)

    with TwoFactors(order) as server:
        connect(server.target(private_key=key, password=password), read).close()
        assert server.tried == order
    with TwoFactors(order) as server:
        first = key if order[0] == "publickey" else password
        alone = {"private_key": key} if first is key else {"password": password}
        text = refused(server.target(**alone), read)
        assert f"{first}, and wants more for user 'wharf' (it offers: {order[1]})" in text


def test_a_key_that_is_refused_is_followed_by_the_password(password_server: FaultyServer, sshd: Sshd) -> None:
    target = password_server.target(private_key=SecretRef(f"file:{sshd.client_key}"))
    connect(target, secret).close()


def test_a_password_that_has_expired_is_refused_as_such() -> None:
    with TwoFactors(["password"], expired=True) as server:
        target = server.target(password=SecretRef("env:PW"))
        assert "not accept the password env:PW" in (text := refused(target))
        assert "the password has expired" in text


def test_nothing_that_is_not_configured_is_tried(sshd: Sshd) -> None:
    text = refused(sshd.target(private_key=None))
    assert "wants a credential, and none is configured: set sftp.private_key or sftp.password" in text


def test_a_server_that_hangs_up_on_a_refusal_refuses(sshd: Sshd, make_sshd: MakeSshd, tmp_path: Path) -> None:
    server = make_sshd(config=["MaxAuthTries 1"])
    write_key_pair(tmp_path / "key", "ed25519")
    text = refused(server.target(private_key=SecretRef(f"file:{tmp_path}/key")))
    assert f"not accept the private key file:{tmp_path}/key for user" in text


# ---- servers that are not there, or not well


def test_a_server_that_cannot_be_reached_is_a_loss_with_its_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert f"127.0.0.1:{port}: nobody listens on this port" in lost(
        SftpTarget(host="127.0.0.1", port=port, username=USER)
    )
    for name in ("nowhere.invalid", "a..b", "a" * 70):
        assert f"the name {name} is not found" in lost(SftpTarget(host=name, username=USER))


@pytest.mark.parametrize(
    ("greeting", "stays", "reason"),
    [
        (b"", False, "hung up before it greeted: it may have too many connections"),
        (b"Exceeded MaxStartups\r\n", False, "hung up before it greeted: it may have too many connections"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 60, False, "what answers there is not an SSH server"),
        (b"SSH-2.0-Greeter\r\n", False, "the server hung up"),
        (b"", True, "no answer within 0.5 s"),
        (b"SSH-2.0-Greeter\r\n", True, "no answer within 0.5 s"),
        (b"SSH-2.0-Greeter\r\n" + bytes(range(256)) * 10, True, ": "),
    ],
)
def test_a_server_that_does_not_talk_is_a_loss(greeting: bytes, stays: bool, reason: str) -> None:
    with Greeter(greeting, stays=stays) as server:
        started = time.monotonic()
        assert reason in lost(server.target(delivery=SHORT))
        assert time.monotonic() - started < 5


def test_a_connection_too_many_is_a_loss(tmp_path: Path) -> None:
    with FaultyServer(Sound, tmp_path / "files", max_connections=1) as server:
        with connect(server.target(), secret):
            assert "hung up" in lost(server.target())
        assert eventually(lambda: not server.connections)
        connect(server.target(), secret).close()


EXPECTED = {
    "AuthenticationException": ServerRefused,
    "BadAuthenticationType": ServerRefused,
    "BadHostKeyException": ServerRefused,
    "ChannelException": ConnectionLost,
    "ConfigParseError": ServerRefused,
    "CouldNotCanonicalize": ServerRefused,
    "IncompatiblePeer": ServerRefused,
    "MessageOrderError": ServerRefused,
    "NoValidConnectionsError": ConnectionLost,
    "PartialAuthentication": ServerRefused,
    "PasswordRequiredException": ServerRefused,
    "ProxyCommandFailure": ConnectionLost,
    "SSHException": ConnectionLost,
    "UnableToAuthenticate": ServerRefused,
}


def test_every_exception_of_paramiko_becomes_one_of_ours() -> None:
    kinds = {name: kind for name, kind in vars(ssh_exception).items() if isinstance(kind, type)}
    assert kinds.keys() == EXPECTED.keys()
    key = paramiko.RSAKey.generate(1024)
    arguments = {
        "BadAuthenticationType": ("no", ["password"]),
        "BadHostKeyException": ("host", key, key),
        "ChannelException": (1, "no"),
        "NoValidConnectionsError": ({("127.0.0.1", 22): OSError("no")},),
        "PartialAuthentication": (["password"],),
        "ProxyCommandFailure": ("command", "no"),
    }
    target = SftpTarget(host="host", username=USER)
    for name, kind in kinds.items():
        ours = as_wharf_error(kind(*arguments.get(name, ("no",))), target)
        assert type(ours) is EXPECTED[name], name
        assert str(ours).startswith("sftp://wharf@host:22: ")


# ---- ways around


RELAY = """
import os, socket, sys, threading
print("relaying", *sys.argv[1:], file=sys.stderr, flush=True)
there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while data := os.read(0, 65536):
        there.sendall(data)
threading.Thread(target=up, daemon=True).start()
while data := there.recv(65536):
    os.write(1, data)
"""


def processes_with(text: str) -> list[str]:
    listing = subprocess.check_output(["ps", "-A", "-ww", "-o", "stat=,args="], text=True)
    return [line for line in listing.splitlines() if text in line and not line.startswith("Z")]


@pytest.fixture
def relay(tmp_path: Path) -> str:
    path = tmp_path / "relay.py"
    path.write_text(RELAY)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(path))}"


def test_a_proxy_command_leads_there_and_ends_with_the_connection(sshd: Sshd, relay: str) -> None:
    target = sshd.target(proxy_command=f"{relay} %h %p %r %%h")
    with connect(target, secret) as connection:
        assert greets(connection.open_sftp())
        assert processes_with(f"relay.py 127.0.0.1 {sshd.port} {target.username} %h")
    assert processes_with(f"relay.py 127.0.0.1 {sshd.port}") == []


def test_a_proxy_command_that_fails_is_a_loss_with_its_last_words(sshd: Sshd, relay: str) -> None:
    text = lost(sshd.target(proxy_command=f"{relay} 127.0.0.1 1"))
    assert "hung up before it greeted" in text
    assert "Connection refused" in text
    assert processes_with("relay.py 127.0.0.1 1") == []


def test_a_proxy_command_that_does_not_hear_is_killed(sshd: Sshd, tmp_path: Path) -> None:
    path = tmp_path / "deaf.sh"
    path.write_text("trap '' TERM\nsleep 100 & sleep 100; sleep 100\n")
    lost(sshd.target(proxy_command=f"sh {path}", delivery=SHORT))
    assert processes_with(str(path)) == []


@pytest.mark.parametrize("command", ["no-such-program-here %h", "sh -c 'unclosed"])
def test_a_proxy_command_that_cannot_start_is_named(sshd: Sshd, command: str) -> None:
    with pytest.raises(UsageError, match=r"sftp\.proxy_command cannot be"):
        connect(sshd.target(proxy_command=command), secret)


def test_a_jump_host_leads_there_and_closes_with_the_connection(sshd: Sshd, make_sshd: MakeSshd) -> None:
    jump = make_sshd()
    with connect(sshd.target(jump=jump.target()), secret) as connection:
        assert greets(connection.open_sftp())
        assert (sshd.connections(), jump.connections()) == (1, 1)
    assert eventually(lambda: (sshd.connections(), jump.connections()) == (0, 0))


def test_a_jump_host_is_trusted_for_itself(sshd: Sshd, make_sshd: MakeSshd, listed: Callable[..., str]) -> None:
    jump = make_sshd()
    known = listed(sshd.known_hosts_line("ed25519"))
    text = refused(sshd.target(jump=jump.target(host_key="", known_hosts=known)))
    assert text.startswith(f"{jump.target()}: the host key is not known")
    text = refused(sshd.target(host_key=jump.fingerprint, jump=jump.target()))
    assert text.startswith(f"{sshd.target()}: THE HOST KEY HAS CHANGED")
    assert eventually(lambda: jump.connections() == 0)


def test_a_jump_host_that_leads_nowhere_says_so(sshd: Sshd, make_sshd: MakeSshd) -> None:
    open_jump, closed_jump = make_sshd(), make_sshd(config=["AllowTcpForwarding no"])
    assert "this jump host does not reach 127.0.0.1:1" in lost(sshd.target(port=1, jump=open_jump.target()))
    text = refused(sshd.target(jump=closed_jump.target()))
    assert text.startswith(f"{closed_jump.target()}: this jump host may not forward")
    with pytest.raises(UsageError, match="exclude each other"):
        connect(sshd.target(jump=open_jump.target(), proxy_command="nc %h %p"), secret)


class TwoFactors(paramiko.ServerInterface):
    """A server that wants `order` of credentials, one after the other, and hangs up on a second service request.

    It offers no subsystem. `expired`: it asks for a new password whatever it gets.
    """

    def __init__(self, order: list[str], *, expired: bool = False) -> None:
        self._order = order
        self._expired = expired
        self.tried: list[str] = []
        self._key = paramiko.ECDSAKey.generate()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        self._transports: list[paramiko.Transport] = []

    def target(self, **changes: Any) -> SftpTarget:
        port = self._socket.getsockname()[1]
        return SftpTarget(host="127.0.0.1", port=port, username=USER, host_key=self._key.fingerprint, **changes)

    def __enter__(self) -> TwoFactors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        for transport in self._transports:
            transport.close()
            transport.join()

    def get_allowed_auths(self, username: str) -> str:
        return self._order[min(len(self.tried), len(self._order) - 1)]

    def check_auth_password(self, username: str, password: str) -> int:
        return self._next("password") if password == PASSWORD else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return self._next("publickey")

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def _next(self, method: str) -> int:
        if self._order[len(self.tried)] != method:
            return paramiko.AUTH_FAILED
        self.tried.append(method)
        return paramiko.AUTH_SUCCESSFUL if self.tried == self._order else paramiko.AUTH_PARTIALLY_SUCCESSFUL

    def _run(self) -> None:
        while True:
            try:
                opened, _ = self._socket.accept()
            except OSError:
                return
            transport = paramiko.Transport(opened)
            transport.add_server_key(self._key)
            transport.auth_handler = (_NewPassword if self._expired else _OneService)(transport)
            transport.start_server(threading.Event(), self)
            self._transports.append(transport)


class _OneService(paramiko.AuthHandler):
    _seen = False

    def _parse_service_request(self, m: paramiko.Message) -> None:
        if self._seen:
            self._disconnect_service_not_available()
            return
        self._seen = True
        super()._parse_service_request(m)


class _NewPassword(_OneService):
    def _send_auth_result(self, username: str, method: str, result: int) -> None:
        if method != "password":
            super()._send_auth_result(username, method, result)
            return
        m = paramiko.Message()
        m.add_byte(bytes([60]))  # SSH_MSG_USERAUTH_PASSWD_CHANGEREQ
        m.add_string("It is time for a new password.")
        m.add_string("")
        self.transport._send_message(m)
