"""A session of SFTP version 3 in which many requests are under way, and each answer goes to whoever asked.

What is done on the server is written as a generator, "steps", which yields what it wants and is sent the answer:

    reply = yield stat(path)                          one request -> its Reply
    written, closed = yield (write(...), close(...))  requests sent together -> their Replies
    sizes = yield [size_of(one), size_of(other)]      steps done side by side -> what each returned
    data = yield future                               a concurrent.futures.Future -> its result

Steps do no input or output themselves, so they can be tested without a server. The session runs many of them in the
thread that calls it, and puts what they ask into few writes: the round trip and the cost of a packet are paid once
for many requests. Requests on one file are carried out in the order in which they are sent (section 4.1 of the
draft), so a write and the close after it need no answer between them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import paramiko

from wharf.connectors.sftp import packets as sftp
from wharf.connectors.sftp.outlet import Outlet
from wharf.connectors.sftp.packets import Malformed, Reply, Request
from wharf.model.errors import ConnectionLost, ServerRefused

if TYPE_CHECKING:
    from wharf.model.delivery import SftpTarget

T = TypeVar("T")
Steps = Generator[Any, Any, T]

_BEST_BYTES = 255 << 10  # of one read or write: what OpenSSH takes besides the packet's other fields
_SAFE_BYTES = 32 << 10  # what every server must take
_RECEIVE_BYTES = 1 << 20


class Session:
    """SFTP on a channel whose subsystem was asked for, and on which nothing was said yet.

    `write_bytes` and `read_bytes` are how much one request may carry, `open_files` how many handles the server allows
    (0: it does not say), `extensions` what it offers, `answers` how many came so far.

    Raises: ConnectionLost, ServerRefused if it is not SFTP that is spoken there.
    """

    def __init__(self, channel: paramiko.Channel, target: SftpTarget) -> None:
        self.answers = 0
        self._where = str(target)
        self._channel = channel
        self._timeout = target.delivery.timeout
        self._number = 0
        self._asked: dict[int, tuple[_Task, int]] = {}
        self._outbox: list[bytes | memoryview] = []
        self._incoming = sftp.Incoming()
        self._tasks: set[_Task] = set()
        self._roots = 0
        self._ready: deque[tuple[_Task, Future[Any]]] = deque()  # whose futures are done
        self._wake = threading.Event()
        self._outlet = Outlet(channel)
        channel.settimeout(self._timeout)
        channel.in_buffer.set_event(self._wake)
        with self._broken_connections():
            self._outbox.append(sftp.hello())
            self._flush()
            self.extensions = sftp.extensions(*self._first_packet())
        self._learn_limits()

    def call(self, steps: Steps[T]) -> T:
        """Carry out steps -> what they return. Raises: what they raise, ConnectionLost, ServerRefused."""
        results: list[T] = []

        def keep() -> Steps[None]:
            results.append((yield from steps))

        waiting = [keep()]
        self.run(lambda _: waiting.pop() if waiting else None)
        return results[0]

    def run(self, more: Callable[[int], Steps[None] | None]) -> None:
        """Carry out all steps that `more` gives.

        It is called with the number of those under way whenever something has happened, until it gives None; the
        session ends when it gives None and nothing is under way. If the connection breaks, or steps raise, all others
        are closed (GeneratorExit).

        Raises: what steps raise, ConnectionLost, ServerRefused if the server does not keep to the protocol.
        """
        ended = threading.Event()
        threading.Thread(target=self._guard, args=(ended,), daemon=True).start()
        try:
            with self._broken_connections():
                while True:
                    while (steps := more(self._roots)) is not None:
                        self._roots += 1
                        self._begin(_Task(steps))
                    self._flush()
                    if not self._tasks:
                        return
                    self._wait()
        finally:
            ended.set()
            for task in list(self._tasks):
                task.steps.close()
            self._tasks.clear()
            self._asked.clear()
            self._roots = 0

    def _begin(self, task: _Task) -> None:
        self._tasks.add(task)
        self._resume(task)

    def _resume(self, task: _Task, answer: Any = None, error: BaseException | None = None) -> None:
        """Let steps go on with the answer to what they asked."""
        try:
            wish = task.steps.throw(error) if error else task.steps.send(answer)
        except StopIteration as end:
            self._end(task, end.value, None)
        except Exception as failed:
            if task.parent is None or isinstance(failed, Malformed):
                self._tasks.discard(task)
                raise
            self._end(task, None, failed)
        else:
            self._ask(task, wish)

    def _end(self, task: _Task, result: Any, error: Exception | None) -> None:
        self._tasks.discard(task)
        if task.parent is None:
            self._roots -= 1
            return
        task.parent.error = task.parent.error or error
        self._answer(task.parent, task.place, result)

    def _ask(self, task: _Task, wish: Any) -> None:
        if isinstance(wish, Future):
            wish.add_done_callback(lambda done: self._wake_for(task, done))
            return
        task.single = type(wish) is Request
        wishes = (wish,) if task.single else wish
        task.answers = [None] * len(wishes)
        task.error = None
        task.missing = len(wishes) + 1  # so that answers which come at once do not resume it before all is asked
        for place, one in enumerate(wishes):
            if type(one) is Request:
                self._number = (self._number + 1) & 0xFFFFFFFF
                self._asked[self._number] = task, place
                self._outbox.append(one.packet(self._number))
                if one.data:
                    self._outbox.append(one.data)
            else:
                self._begin(_Task(one, task, place))
        self._settle(task)

    def _wake_for(self, task: _Task, done: Future[Any]) -> None:
        """Called in any thread. A set event outlives the moment, so whoever is about to wait cannot miss it."""
        self._ready.append((task, done))
        self._wake.set()

    def _answer(self, task: _Task, place: int, answer: Any) -> None:
        task.answers[place] = answer
        self._settle(task)

    def _settle(self, task: _Task) -> None:
        task.missing -= 1
        if not task.missing:
            self._resume(task, task.answers[0] if task.single else task.answers, task.error)

    def _flush(self) -> None:
        outbox, self._outbox = self._outbox, []
        self._outlet.send(outbox)

    def _wait(self) -> None:
        """Until an answer has come, or a future is done; then let the steps go on that waited for it."""
        if self._ready:
            while self._ready:
                task, done = self._ready.popleft()
                error = done.exception()
                self._resume(task, None if error else done.result(), error)
            return
        if not self._asked:  # only futures are waited for: the server is not to blame for their time
            self._wake.wait()
            self._wake.clear()
            if self._channel.closed or self._channel.eof_received:
                raise EOFError
            return
        for kind, packet in self._incoming.add(self._receive()):
            self._take_answer(kind, packet)

    def _receive(self) -> bytes:
        """What the server has sent by now: something, unless a future was done before."""
        deadline = time.monotonic() + self._timeout
        channel = self._channel
        while not (channel.recv_ready() or channel.closed or channel.eof_received):
            if self._ready:
                return b""
            if not self._wake.wait(deadline - time.monotonic()):
                raise TimeoutError
            self._wake.clear()  # what sets it changes the state first, so the state is looked at after this
        data = channel.recv(_RECEIVE_BYTES)
        if not data:
            raise EOFError
        return data

    def _take_answer(self, kind: int, packet: bytes) -> None:
        """Give an answer to who asked."""
        if len(packet) < 4:
            raise Malformed("a packet ends early")
        asked = self._asked.pop(int.from_bytes(packet[:4], "big"), None)
        if asked is None:
            raise Malformed("an answer came to a question that was not asked")
        self.answers += 1
        self._answer(*asked, Reply(kind, packet[4:]))

    def _first_packet(self) -> tuple[int, bytes]:
        while True:
            for packet in self._incoming.add(self._receive()):
                return packet

    def _learn_limits(self) -> None:
        """Ask what the server takes at once; OpenSSH took as much before it could be asked."""
        version = str(getattr(self._channel.get_transport(), "remote_version", ""))
        write, read, self.open_files = (_BEST_BYTES if "OpenSSH" in version else _SAFE_BYTES,) * 2 + (0,)
        if sftp.LIMITS in self.extensions:
            reply = self.call(_one(sftp.limits()))
            if reply.code == sftp.OK:
                _, read, write, self.open_files = reply.limits
        self.write_bytes = min(write or _SAFE_BYTES, _BEST_BYTES)
        self.read_bytes = min(read or _SAFE_BYTES, _BEST_BYTES)

    def _guard(self, ended: threading.Event) -> None:
        """End a connection that takes no bytes: paramiko itself would go on trying for ever."""
        while not ended.wait(self._timeout / 4):
            began = self._outlet.began
            if began and time.monotonic() - began > 1.5 * self._timeout:
                self._channel.get_transport().close()

    @contextmanager
    def _broken_connections(self) -> Iterator[None]:
        """What ends a session, as our errors."""
        try:
            yield
        except Malformed as error:
            remedy = "; what the account prints at login must go" if not self._number else ""
            raise ServerRefused(
                f"{self._where}: the server does not keep to the SFTP protocol ({error}){remedy}"
            ) from error
        except TimeoutError as error:
            raise ConnectionLost(f"{self._where}: no answer within {self._timeout:g} s") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise ConnectionLost(f"{self._where}: the connection broke") from error


class _Task:
    """Steps under way, and what they wait for; `place` is theirs among those that `parent` waits for."""

    __slots__ = ("answers", "error", "missing", "parent", "place", "single", "steps")

    def __init__(self, steps: Steps[Any], parent: _Task | None = None, place: int = 0) -> None:
        self.steps = steps
        self.parent = parent
        self.place = place
        self.answers: list[Any] = []
        self.error: Exception | None = None
        self.missing = 0
        self.single = False


def _one(request: Request) -> Steps[Reply]:
    reply: Reply = yield request
    return reply
