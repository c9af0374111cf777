"""Requests, replies and steps, against a channel in memory that answers as a test says."""

from __future__ import annotations

import struct
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import sftp_faults as faults
from tests.servers.sftp_faults import FaultyServer
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.secrets import resolve
from wharf.connectors.sftp import packets as sftp
from wharf.connectors.sftp.connection import connect
from wharf.connectors.sftp.packets import Incoming, Malformed, Reply
from wharf.connectors.sftp.protocol import Session, Steps
from wharf.connectors.sftp.socket import GatheringSocket
from wharf.connectors.sftp.upload import temporary_name, versions
from wharf.model.delivery import DeliveryProfile, SftpTarget
from wharf.model.errors import ConnectionLost, ServerRefused

TARGET = SftpTarget(host="h", username="u", delivery=DeliveryProfile(timeout=0.3))
OK_REPLY = struct.pack(">I", sftp.OK) + bytes(8)


class Channel:
    """A channel whose other end is `answer`: (type, id, rest of a request) -> packets that come back."""

    out_max_packet_size = 1000
    closed = eof_received = False

    def __init__(self, answer: Any, hello: bytes = struct.pack(">IBI", 5, 2, 3)) -> None:
        self.in_buffer = self
        self.out_window_size = 1 << 20
        self.sends = 0
        self._answer, self._hello = answer, hello
        self._sent, self._waiting = Incoming(), b""
        self._event = threading.Event()

    def settimeout(self, seconds: float) -> None: ...

    def set_event(self, event: threading.Event) -> None:
        self._event = event

    def get_transport(self) -> Any:
        return self

    sock = remote_version = None

    def close(self) -> None:
        self.closed = True

    def send(self, data: memoryview) -> int:
        self.sends += 1
        for kind, body in self._sent.add(bytes(data)):
            self._waiting += self._hello if kind == 1 else self._answer(kind, body[:4], body[4:])
        self._event.set()
        return len(data)

    def recv_ready(self) -> bool:
        return bool(self._waiting)

    def recv(self, most: int) -> bytes:
        data, self._waiting = self._waiting[:most], self._waiting[most:]
        return data


def packet(kind: int, number: bytes, body: bytes) -> bytes:
    return struct.pack(">IB", len(number + body) + 1, kind) + number + body


def agrees(kind: int, number: bytes, body: bytes) -> bytes:
    return packet(101, number, OK_REPLY)


def session(answer: Any = agrees, **options: Any) -> Session:
    return Session(Channel(answer, **options), TARGET)  # type: ignore[arg-type]


@given(st.lists(st.binary(max_size=60), max_size=8), st.data())
def test_packets_may_come_in_any_pieces(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(struct.pack(">IB", len(body) + 1, 7) + body for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    incoming = Incoming()
    parts = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = [packet for part in parts for packet in incoming.add(part)]
    assert found == [(7, body) for body in bodies]


@given(st.sampled_from([102, 103, 104, 105, 201]), st.binary(max_size=40))
def test_a_reply_of_any_bytes_is_read_or_is_malformed(kind: int, body: bytes) -> None:
    reply = Reply(kind, body)
    for name in ("handle", "data", "size", "files", "limits", "reason"):
        try:
            getattr(reply, name)
        except Malformed:
            pass


def test_a_reason_is_one_printable_line() -> None:
    words = b"disk\x1b[31m full\n"
    reply = Reply(101, struct.pack(">II", sftp.FAILURE, len(words)) + words + bytes(4))
    assert reply.reason == "disk [31m full (failure)"


def test_answers_find_who_asked_in_whatever_order_they_come() -> None:
    held: list[bytes] = []

    def backwards(kind: int, number: bytes, body: bytes) -> bytes:
        held.append(packet(103, number, body))  # a request's path comes back as data
        return b"".join(reversed(held)) if len(held) == 20 else b""

    opened = session(backwards)
    found: dict[int, bytes] = {}

    def ask(number: int) -> Steps[None]:
        reply = yield sftp.stat(f"file{number}")
        found[number] = reply.data

    waiting = [ask(number) for number in range(20)]
    opened.run(lambda _: waiting.pop() if waiting else None)
    assert found == {number: b"file%d" % number for number in range(20)}


def test_small_requests_of_many_share_a_write() -> None:
    opened = session()
    channel: Any = opened._channel
    channel.out_max_packet_size = 1 << 15
    before = channel.sends
    waiting = [one(sftp.stat(str(number))) for number in range(100)]
    opened.run(lambda _: waiting.pop() if waiting else None)
    assert channel.sends - before == 1
    assert opened.answers == 100


def one(request: Any) -> Steps[Any]:
    return (yield request)


def test_steps_can_ask_for_steps_side_by_side_for_futures_and_for_both() -> None:
    def slowly(delay: threading.Event) -> int:
        delay.wait(0.05)
        return 7

    def inner(number: int) -> Steps[int]:
        yield sftp.stat("x")
        return number

    def nothing() -> Steps[int]:
        return 3
        yield

    def outer() -> Steps[Any]:
        with ThreadPoolExecutor() as pool:
            future: Future[int] = pool.submit(slowly, threading.Event())
            seven = yield future
        two = yield (sftp.stat("a"), sftp.stat("b"))
        sides = yield [inner(1), nothing(), inner(2)]
        return seven, len(two), sides

    assert session().call(outer()) == (7, 2, [1, 3, 2])


def test_an_error_of_steps_side_by_side_comes_when_all_have_ended() -> None:
    ended: list[str] = []

    def fails() -> Steps[None]:
        yield sftp.stat("a")
        raise LookupError("of the first")

    def goes_on() -> Steps[None]:
        for _ in range(3):
            yield sftp.stat("b")
        ended.append("the second")

    def outer() -> Steps[str]:
        try:
            yield [fails(), goes_on()]
        except LookupError as error:
            return f"{error}, {ended}"
        return ""

    assert session().call(outer()) == "of the first, ['the second']"


def test_a_failed_future_is_raised_where_it_was_awaited() -> None:
    def awaits() -> Steps[str]:
        failed: Future[None] = Future()
        failed.set_exception(LookupError("gone"))
        try:
            yield failed
        except LookupError as error:
            return str(error)
        return ""

    assert session().call(awaits()) == "gone"


def test_steps_under_way_are_closed_when_the_connection_breaks() -> None:
    closed: list[int] = []

    def waits(number: int) -> Steps[None]:
        try:
            yield sftp.stat("x")
        finally:
            closed.append(number)

    opened = session(lambda *_: b"")
    opened._channel.close()
    waiting = [waits(1), waits(2)]
    with pytest.raises(ConnectionLost, match="sftp://u@h:22: the connection broke"):
        opened.run(lambda _: waiting.pop() if waiting else None)
    assert sorted(closed) == [1, 2]


def test_silence_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost, match=r"no answer within 0\.3 s"):
        session(lambda *_: b"").call(one(sftp.stat("x")))


@pytest.mark.parametrize(
    "answer",
    [
        lambda kind, number, body: packet(101, b"\x00\x00\xff\xff", OK_REPLY),  # nobody asked that
        lambda kind, number, body: b"\xff\xff\xff\xff\x65",  # 4 GiB long
        lambda kind, number, body: b"\x00\x00\x00\x03\x65\x00\x00",  # no room for the id
    ],
)
def test_a_broken_protocol_is_refused(answer) -> None:
    with pytest.raises(ServerRefused, match="does not keep to the SFTP protocol"):
        session(answer).call(one(sftp.stat("x")))


def test_text_where_sftp_begins_is_explained() -> None:
    with pytest.raises(ServerRefused, match="what the account prints at login must go"):
        session(hello=b"Welcome to the machine\n")


def test_a_server_that_says_nothing_of_limits_gets_32_kib() -> None:
    assert (session().write_bytes, session().open_files) == (32 << 10, 0)


def test_openssh_says_what_it_takes(sshd) -> None:
    endpoints = Endpoints()
    with connect(sshd.target(), lambda ref: resolve(ref, endpoints)) as connection:
        opened = Session(connection.open_sftp(), sshd.target())
        assert opened.write_bytes == 255 << 10
        assert sftp.POSIX_RENAME in opened.extensions


def nine_looks() -> Steps[None]:
    for _ in range(9):
        yield sftp.stat("/")


def test_a_server_that_stops_answering_in_the_middle_is_lost(tmp_path) -> None:
    endpoints = Endpoints()
    with FaultyServer(faults.Silent, tmp_path / "files", after=3) as server:
        target = server.target(delivery=DeliveryProfile(timeout=0.5))
        with connect(target, lambda ref: resolve(ref, endpoints)) as connection:
            opened = Session(connection.open_sftp(), target)
            with pytest.raises(ConnectionLost, match="no answer"):
                opened.call(nine_looks())


def test_temporary_names_are_unique_beside_the_file_and_never_too_long() -> None:
    names = {temporary_name("in/" + "é" * 127, hidden=True) for _ in range(50)}
    assert len(names) == 50
    for name in names:
        assert name.startswith("in/.é")
        assert name.endswith(".part")
        assert len(name.encode()) <= 3 + 255


@pytest.mark.parametrize(
    ("path", "second"),
    [("in/a.csv", "in/a.1.csv"), ("a.csv.gz", "a.1.csv.gz"), ("a.b/plain", "a.b/plain.1"), (".hidden", ".hidden.1")],
)
def test_versions_have_a_number_before_the_extension(path: str, second: str) -> None:
    names = versions(path)
    assert (next(names), next(names)) == (path, second)


class Wire:
    """A socket's end that keeps what it is sent, a little at a time, and gives what it was given."""

    def __init__(self, incoming: bytes = b"") -> None:
        self.sent: list[bytes] = []
        self.incoming, self.receives = incoming, 0

    def send(self, data: Any) -> int:
        if len(self.sent) % 2:
            self.sent.append(b"")
            raise TimeoutError
        self.sent.append(bytes(data[:100]))
        return len(self.sent[-1])

    def recv(self, most: int) -> bytes:
        self.receives += 1
        data, self.incoming = self.incoming[:most], self.incoming[most:]
        return data


def send_as_paramiko_does(socket: GatheringSocket, data: bytes) -> None:
    while data:
        try:
            data = data[socket.send(data) :]
        except TimeoutError:
            pass


def test_what_is_gathered_is_sent_whole_and_before_what_others_send() -> None:
    wire = Wire()
    socket = GatheringSocket(wire)
    with socket.gathered():
        assert [socket.send(b"a" * 70) for _ in range(3)] == [70, 70, 70]
        assert wire.sent == []
        other = threading.Thread(target=send_as_paramiko_does, args=(socket, b"b"))
        other.start()
        other.join()
        assert b"".join(wire.sent) == b"a" * 210 + b"b"
        socket.send(b"c")
    assert b"".join(wire.sent) == b"a" * 210 + b"bc"


def test_much_is_received_at_once_and_given_as_asked() -> None:
    wire = Wire(incoming=bytes(range(200)))
    socket = GatheringSocket(wire)
    parts = [socket.recv(16), socket.recv(100), socket.recv(500)]
    assert [len(part) for part in parts] == [16, 100, 84]
    assert b"".join(parts) == bytes(range(200))
    assert wire.receives == 1
    assert socket.recv(1) == b""
