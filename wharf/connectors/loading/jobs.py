"""BigQuery jobs under identities of their own: one that was started already is found again, not started twice."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from google.api_core import exceptions

from wharf.connectors.retry import POLICY, RETRYABLE, pause
from wharf.model.errors import RunFailed
from wharf.model.schema import TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_TIMEOUT = 60.0  # seconds for one answer
_TRIES = 8  # some 25 s
_LONGEST_PAUSE = 20.0
_LONGEST_POLL = 5.0
_ANSWERS = (exceptions.ClientError, exceptions.MethodNotImplemented)
# Uses up a job id and does nothing. It has to fail when it runs: what fails before may leave the id free.
_FENCE = "SELECT IF(RAND() < 2, ERROR('another worker has taken these batches over'), 0)"
# What BigQuery means to be tried again, https://cloud.google.com/bigquery/docs/error-messages
_TRANSIENT = {
    *("backendError", "internalError", "rateLimitExceeded", "tableUnavailable", "timeout"),
    *("jobBackendError", "jobInternalError", "jobRateLimitExceeded"),
}


class JobFailed(RunFailed):
    """A job ended with an error. `errors` are BigQuery's: mappings with reason, message and perhaps location."""

    def __init__(self, what: str, errors: Sequence[Mapping[str, Any]]) -> None:
        self.errors = tuple(dict(error) for error in errors)
        first = self.errors[0] if self.errors else {}
        line = str(first.get("message") or "BigQuery gives no reason").strip().splitlines()[0]
        super().__init__(f"{what}: {line}")

    @property
    def is_about_data(self) -> bool:
        """Whether other files or other SQL might do better; permissions and quotas are the same for all."""
        return bool(self.errors) and self.errors[0].get("reason") in {"invalid", "invalidQuery", "notFound", "stopped"}


class Loaded(NamedTuple):
    """What a load job did. `errors` tells of the rows that it left out, `rejected` how many they are."""

    rows: int
    errors: tuple[dict[str, Any], ...]
    rejected: int


class Jobs:
    """Starts jobs and waits for them, at most `most` at once; for any number of threads."""

    def __init__(self, client: Client, most: int) -> None:
        self._client = client
        self._slots = threading.BoundedSemaphore(most)

    def load(
        self, identity: str, uris: Sequence[str], table: TableId, config: Mapping[str, Any], location: str
    ) -> Loaded:
        """Load files into `table`; a job of this identity that did so is taken for it, as long as the table is there.

        `config` is a `JobConfigurationLoad` of the REST API.

        Raises: JobFailed.
        """
        from google.cloud.bigquery import LoadJobConfig

        def begin(job_id: str) -> Any:
            return self._client.load_table_from_uri(
                list(uris),
                str(table),
                job_id=job_id,
                job_config=LoadJobConfig.from_api_repr({"load": dict(config)}),
                location=location,
                retry=None,
                timeout=_TIMEOUT,
            )

        def is_there() -> bool:
            try:
                self._client.get_table(str(table), retry=POLICY, timeout=_TIMEOUT)
            except exceptions.NotFound:
                return False
            return True

        job = self._run(identity, location, begin, is_there, "BigQuery cannot load its files")
        rejected = (job._properties.get("statistics") or {}).get("load", {}).get("badRecords")
        errors = tuple(job.errors or ())
        return Loaded(job.output_rows or 0, errors, int(rejected or len(errors)))

    def statement(self, identity: str, sql: str, location: str) -> None:
        """Run a statement that must take effect once; a job of this identity that did so is taken for it.

        Raises: JobFailed.
        """
        what = "BigQuery cannot bring its rows into the table"
        self._run(identity, location, self._query(sql, location), lambda: True, what)

    def settled(self, identity: str, location: str) -> bool:
        """Whether a statement of this identity has taken effect, once it has ended.

        If it has not, it cannot any more: its next job id is used up, so that a worker who has lost his batches and
        does not know it yet does not begin it after this.
        """
        for attempt in itertools.count(1):
            job_id = f"{identity}-{attempt}"
            job = self._find(job_id, location)
            if job is None:
                job, _ = self._begin(job_id, location, self._query(_FENCE, location), "its job id cannot be used up")
            self._ended(job)
            if not job.error_result:
                return True
            if job.query == _FENCE:
                return False
        raise AssertionError("unreachable")

    def _run(
        self, identity: str, location: str, begin: Callable[[str], Any], is_there: Callable[[], bool], what: str
    ) -> Any:
        """The ended job. Each further attempt has a further number, so that those who try it together do it once."""
        failures = 0
        with self._slots:
            for attempt in itertools.count(1):
                job, is_new = self._begin(f"{identity}-{attempt}", location, begin, what)
                self._ended(job)
                if not job.error_result:
                    if is_new or is_there():
                        return job
                    continue
                if not is_new and getattr(job, "query", "") != _FENCE:
                    continue  # somebody's failure; what was wrong then may be mended
                failures += 1
                if failures == _TRIES or not _is_transient(job.error_result):
                    raise JobFailed(what, [job.error_result, *(e for e in job.errors or () if e != job.error_result)])
                time.sleep(pause(failures, _LONGEST_PAUSE))
        raise AssertionError("unreachable")

    def _query(self, sql: str, location: str) -> Callable[[str], Any]:
        """What starts a query under a job id."""
        return lambda job_id: self._client.query(
            sql, job_id=job_id, location=location, retry=None, job_retry=None, timeout=_TIMEOUT
        )

    def _begin(self, job_id: str, location: str, begin: Callable[[str], Any], what: str) -> tuple[Any, bool]:
        """Start a job, or find the one that has its identity. -> the job, whether it is new."""
        for failures in itertools.count(1):
            try:
                return begin(job_id), True
            except exceptions.Conflict as unseen:
                found = self._find(job_id, location)
                if found:
                    return found, False
                error: Exception = unseen
            except RETRYABLE as lost:
                # Only the answer may be lost, and an emulator would start the job a second time.
                found = self._find(job_id, location)
                if found:
                    return found, True
                error = lost
            except _ANSWERS as answer:
                # An emulator does the work before it answers, and so can refuse a job that there is now.
                found = self._find(job_id, location)
                if found:
                    return found, True
                if not any(detail.get("reason") in _TRANSIENT for detail in answer.errors or ()):
                    raise JobFailed(what, answer.errors or [{"message": answer.message}]) from answer
                error = answer
            if failures == _TRIES:
                raise error
            time.sleep(pause(failures, _LONGEST_PAUSE))
        raise AssertionError("unreachable")

    def _find(self, job_id: str, location: str) -> Any | None:
        try:
            return self._client.get_job(job_id, location=location, retry=POLICY, timeout=_TIMEOUT)
        except exceptions.NotFound:
            return None

    def _ended(self, job: Any) -> Any:
        """Wait for a job, asking soon at first and more seldom as it goes on."""
        seconds = 0.05
        while job.state != "DONE":
            time.sleep(seconds)
            seconds = min(seconds * 1.3, _LONGEST_POLL)
            job.reload(retry=POLICY, timeout=_TIMEOUT)
        return job


def _is_transient(error: Mapping[str, Any]) -> bool:
    # Two transactions changed one table at once, and BigQuery asks the loser to try again.
    return error.get("reason") in _TRANSIENT or "concurrent update" in str(error.get("message")).lower()
