"""An HTTP server in front of BigQuery's emulator that answers as BigQuery does where the emulator does not.

    with BigQueryProxy(stack.endpoints.bigquery, hold=2.0) as proxy:
        client(api_endpoint=proxy.url)

- A job id that was used is refused with 409.
- `hold`: a job is RUNNING until so many seconds after it was inserted, however many there are; `holds` says which.
- `on(predicate, action)`: something happens when a request comes, or (`after`) when it was done and not yet answered.
  An action that raises `Dropped` breaks the connection; one that returns an `Answer` gives that one.
- `unavailable(seconds)`: everything is refused with 503 for a while.
- `report_bad_records(predicate, errors)`: load jobs tell of rows that they skipped, as under `maxBadRecords`.
- `jobs`, `count(kind)`, `modifications(table)`: what was asked of BigQuery and not refused.

Predicates and actions are in `bigquery_calls`, and may be any function of a `Call`.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.servers.bigquery_calls import Action, Answer, Call, Predicate, jobs
from tests.servers.http_thread import HttpThread, Reply, Request

_JOB = re.compile(r"/bigquery/v2/projects/[^/]+/jobs/([^/]+)")
_RESULTS = re.compile(r"/bigquery/v2/projects/([^/]+)/queries/([^/]+)")
_LONGEST_POLL = 10.0  # seconds that BigQuery lets a caller wait for a query who does not say how long
_INCOMPLETE = {"jobComplete": False}


@dataclass
class _Rule:
    predicate: Predicate
    action: Action
    after: bool
    nth: int
    seen: int = 0


class BigQueryProxy(HttpThread):
    """A running proxy inside a `with` block; `upstream` is the emulator's URL."""

    keeps_alive = True

    def __init__(self, upstream: str, *, hold: float = 0.0, holds: Predicate = jobs) -> None:
        super().__init__()
        self.hold, self.holds = hold, holds
        self.jobs: list[Call] = []  # that the emulator accepted, in the order it was done with them
        self.refused: list[str] = []  # ids that had been used
        self._upstream = urlsplit(upstream).netloc
        self._taken: set[str] = set()
        self._due: dict[str, float] = {}  # when a job that is held back is DONE
        self._running: dict[str, Answer] = {}  # what a job that is held back looks like
        self._failed: dict[str, dict[str, str]] = {}
        self._bad_records: dict[str, Sequence[dict[str, str]]] = {}
        self._reports: list[tuple[Predicate, Sequence[dict[str, str]]]] = []
        self._rules: list[_Rule] = []
        self._unavailable_until = 0.0
        self._lock = threading.Lock()

    def on(self, predicate: Predicate, action: Action, *, after: bool = False, nth: int = 0) -> None:
        """Have `action` done at each request that fits, or at the `nth` such only; it runs in the request's thread.

        Before the request is passed on; `after`: when the emulator is done with it, before it is answered.
        """
        self._rules.append(_Rule(predicate, action, after, nth))

    def unavailable(self, seconds: float) -> None:
        self._unavailable_until = time.monotonic() + seconds

    def report_bad_records(self, predicate: Predicate, errors: Sequence[dict[str, str]]) -> None:
        """Let load jobs that fit tell of rows they skipped: `errors` of reason, location and message, one a row."""
        self._reports.append((predicate, errors))

    def count(self, kind: str) -> int:
        return sum(call.kind == kind for call in self.jobs)

    def modifications(self, table: str) -> int:
        """How many jobs wrote to `dataset.table` and did not fail; a transaction of several statements is one."""
        return sum(call.modifies(table) and not call.failed for call in self.jobs)

    def forget(self) -> None:
        """Begin counting anew."""
        self.jobs, self.refused = [], []

    def reply(self, request: Request) -> Reply:
        answer = self._answer(Call.of(request.method, request.path, request.body), request)
        return answer.status, {"Content-Type": answer.content_type}, answer.body

    def _answer(self, call: Call, request: Request) -> Answer:
        if time.monotonic() < self._unavailable_until:
            return Answer.error(503, "backendError", "The service is currently unavailable.")
        if given := self._act(call, after=False):
            return given
        if asked := _RESULTS.fullmatch(call.path):
            if not self._wait(asked[2], call):
                reference = {"projectId": asked[1], "jobId": asked[2], "location": "US"}
                return Answer.of({"kind": "bigquery#getQueryResultsResponse", "jobReference": reference} | _INCOMPLETE)
            if error := self._failed.get(asked[2]):  # the emulator has no such results, and answers 404
                return Answer.error(400, error["reason"], error["message"])
        with self._begun(call) as is_new:
            if not is_new:
                return Answer.error(409, "duplicate", f"Already Exists: Job {call.path.split('/')[4]}:US.{call.job_id}")
            # Many poll: the emulator's time is for jobs.
            answer = self._running_job(call) or self._forward(
                request.method, request.path, request.body, request.headers.get("Content-Type", "")
            )
            if call.kind:
                self._note(call, answer)
        if given := self._act(call, after=True):
            return given
        return self._rewritten(call, answer)

    def _act(self, call: Call, after: bool) -> Answer | None:
        for rule in self._rules:
            if rule.after == after and rule.predicate(call):
                with self._lock:
                    rule.seen += 1
                    is_due = rule.nth in (0, rule.seen)
                if is_due and (given := rule.action(call)):
                    return given
        return None

    @contextmanager
    def _begun(self, call: Call) -> Iterator[bool]:
        """Take the job's id -> whether it was free; it is free again if no such job came of it."""
        if not call.job_id:
            yield True
            return
        with self._lock:
            is_new = call.job_id not in self._taken
            self._taken.add(call.job_id)
            if not is_new:
                self.refused.append(call.job_id)
        yield is_new
        if is_new and call.job_id not in self._due and self._forward("GET", f"{call.path}/{call.job_id}").status == 404:
            self._taken.discard(call.job_id)

    def _note(self, call: Call, answer: Answer) -> None:
        """Remember a job that was accepted."""
        call.done = time.monotonic()
        if answer.status >= 400:
            return
        document = answer.document
        call.job_id = document["jobReference"]["jobId"]
        error = document.get("status", {}).get("errorResult")
        call.failed = bool(error or document.get("errors"))
        with self._lock:
            self.jobs.append(call)
            if error:
                self._failed[call.job_id] = error
            self._due[call.job_id] = call.arrived + (self.hold if self.holds(call) else 0.0)
            for predicate, errors in self._reports:
                if call.kind == "load" and predicate(call):
                    self._bad_records[call.job_id] = errors

    def _running_job(self, call: Call) -> Answer | None:
        """What jobs.get answers of a job that is held back."""
        asked = _JOB.fullmatch(call.path)
        return self._running.get(asked[1]) if asked and call.method == "GET" and self._is_held(asked[1]) else None

    def _is_held(self, job_id: str) -> bool:
        return self._due.get(job_id, 0.0) > time.monotonic()

    def _wait(self, job_id: str, call: Call) -> bool:
        """Let a caller wait for a query, for as long as BigQuery would -> whether it is done."""
        left = self._due.get(job_id, 0.0) - time.monotonic()
        patience = call.arguments.get("timeoutMs", call.body.get("timeoutMs"))
        longest = _LONGEST_POLL if patience is None else int(patience) / 1000
        time.sleep(max(0.0, min(left, longest)))
        return left <= longest

    def _rewritten(self, call: Call, answer: Answer) -> Answer:
        """An answer about a job, as BigQuery would give it now."""
        asked = _JOB.fullmatch(call.path)
        job_id = asked[1] if asked else call.job_id
        if job_id not in self._due or answer.status >= 400:
            return answer
        document = answer.document
        if "jobComplete" in document:  # of jobs.query
            if self._wait(job_id, call):
                return answer
            return Answer.of({"kind": document["kind"], "jobReference": document["jobReference"]} | _INCOMPLETE)
        if "status" not in document:
            return answer
        if self._is_held(job_id):
            times = {name: document["statistics"].get(name) for name in ("creationTime", "startTime")}
            self._running[job_id] = Answer.of(document | {"status": {"state": "RUNNING"}, "statistics": times})
            return self._running[job_id]
        if errors := self._bad_records.get(job_id):
            document["status"]["errors"] = list(errors)
            document["statistics"].setdefault("load", {})["badRecords"] = str(len(errors))
        return Answer.of(document)

    def _forward(self, method: str, target: str, data: bytes = b"", content_type: str = "") -> Answer:
        connection = HTTPConnection(self._upstream)
        try:
            connection.request(method, target, data or None, {"Content-Type": content_type} if content_type else {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), answer.headers.get("Content-Type", ""))
        finally:
            connection.close()
