"""Brings claimed batches into one table: load jobs beside it, then one statement for as many batches as can be."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from wharf.connectors.loading.jobs import JobFailed
from wharf.connectors.loading.landings import is_there
from wharf.connectors.loading.staging import Staging
from wharf.connectors.loading.state import Claimed, TakenOver
from wharf.connectors.loading.tools import Tools
from wharf.model.errors import UsageError, WharfError
from wharf.model.loading import state
from wharf.model.loading.batch import Batch, Refused
from wharf.model.loading.plan import statement_identity, waves
from wharf.model.schema import TableId

_LOG = logging.getLogger(__name__)
_WAVES_AT_ONCE = 4  # of one table; BigQuery runs no more statements that change it side by side than a few
_FAILURES = (WharfError, GoogleAPIError, GoogleAuthError, OSError)  # the last: of the network
Row = dict[str, Any]


class TableLoader:
    """One table's batches; None stands for those that could not even name a table."""

    def __init__(self, table: TableId | None, tools: Tools) -> None:
        self._table, self._tools = table, tools
        self._rows: dict[str, Row] = {}
        self._former: dict[str, list[str]] = {}  # by batch: statements that failed to bring it in
        self._lost: set[str] = set()  # batches that another worker has taken over

    def run(self, claims: Sequence[Claimed]) -> list[tuple[Batch | Refused, Row]]:
        """Bring batches in, in path order. -> each with its row as it is recorded now.

        Those that another worker has taken over are left out.
        """
        self._rows = {claim.batch.landing.batch_id: dict(claim.row) for claim in claims}
        self._batches = {claim.batch.batch_id: claim.batch for claim in claims if isinstance(claim.batch, Batch)}
        self._seen = {batch_id: row["discovered_at"] for batch_id, row in self._rows.items()}
        self._run(claims)
        ended = [(claim.batch, self._rows[claim.batch.landing.batch_id]) for claim in claims]
        return [(batch, row) for batch, row in ended if batch.landing.batch_id not in self._lost]

    def _run(self, claims: Sequence[Claimed]) -> None:
        refused = [claim.batch for claim in claims if isinstance(claim.batch, Refused)]
        self._fail([(batch, UsageError(batch.error)) for batch in refused])
        batches = sorted(
            (claim.batch for claim in claims if isinstance(claim.batch, Batch)), key=lambda batch: batch.directory
        )
        if not batches:
            return
        try:
            assert self._table
            self._location = self._tools.tables.location(self._table)
            batches = self._in_order(self._recovered(batches))
            self._staging = Staging(self._table, self._tools, self._location, self._seen)
            planned = waves(batches)
            for wave in planned:
                self._staging.begin(wave)
        except _FAILURES as error:
            self._fail([(batch, error) for batch in batches if self._is_open(batch)])
            return
        if all(batch.options.write_mode == "append" and not batch.ordered for batch in batches):
            # Rows are added in any order, so that no wave need wait for another's.
            with ThreadPoolExecutor(min(len(planned), _WAVES_AT_ONCE) or 1, thread_name_prefix="waves") as threads:
                list(threads.map(self._attempt, planned))
            return
        for number, wave in enumerate(planned):
            if not self._attempt(wave) and wave[0].ordered:
                self._hold([batch for later in planned[number + 1 :] for batch in later])
                return

    def _recovered(self, batches: Sequence[Batch]) -> list[Batch]:
        """Settle those whose statement was submitted by a worker that did not live to record its end. -> the others."""
        by_job: dict[str, list[Batch]] = {}
        for batch in batches:
            if job := self._rows[batch.batch_id]["job_id"]:
                by_job.setdefault(job, []).append(batch)
        done = set()
        for job, submitted in by_job.items():
            if self._tools.jobs.settled(job, self._location):
                self._settle([state.done(row, dt.datetime.now(dt.UTC)) for row in self._of(submitted)])
                done |= {batch.batch_id for batch in submitted}
            else:
                for batch in submitted:
                    self._former.setdefault(batch.batch_id, []).append(job)
        return [batch for batch in batches if batch.batch_id not in done]

    def _in_order(self, batches: list[Batch]) -> list[Batch]:
        """Hold back those of an ordered table that an earlier batch is still missing for. -> the others."""
        assert self._table
        if not any(batch.ordered for batch in batches):
            return batches
        ours = {batch.batch_id for batch in batches}
        others = [row for row in self._tools.state.unfinished(table=self._table) if row["batch_id"] not in ours]
        first = next((row["directory"] for row in others if not self._is_withdrawn(row)), "")
        free = [batch for batch in batches if not first or batch.directory <= first]
        if blocked := batches[len(free) :]:  # in path order, as all are
            self._hold(blocked, first)
        return free

    def _is_withdrawn(self, row: Mapping[str, Any]) -> bool:
        """Whether nobody is at work on a batch and its marker has been deleted: it will never be loaded."""
        is_held = row["status"] in state.LIVING and row["lease_until"] > dt.datetime.now(dt.UTC)
        return not is_held and not is_there(self._tools.storage, row["success_uri"])

    def _attempt(self, wave: Sequence[Batch]) -> bool:
        """Bring a wave in, or as much of it as can be: what spoils it is found by halving. -> whether all came in."""
        try:
            self._bring_in(wave)
            return True
        except TakenOver as error:
            self._lose(error)
            rest = [batch for batch in wave if batch.batch_id not in self._lost]
            if wave[0].ordered:
                first = next(batch.directory for batch in wave if batch.batch_id in self._lost)
                if free := [batch for batch in rest if batch.directory < first]:
                    self._attempt(free)
                self._hold([batch for batch in rest if batch.directory > first])
                return False
            return self._attempt(rest) if rest else True
        except _FAILURES as error:
            if len(wave) == 1 or not _is_about_one(error):
                self._fail([(batch, error) for batch in wave])
                return False
        middle = len(wave) // 2
        if self._attempt(wave[:middle]):
            return self._attempt(wave[middle:])
        if wave[0].ordered:
            self._hold(wave[middle:])
        else:
            self._attempt(wave[middle:])
        return False

    def _bring_in(self, wave: Sequence[Batch]) -> None:
        """Stage a wave and run its statement.

        Raises: WharfError, GoogleAPIError.
        """
        tools = self._tools
        with self._staging.of(wave) as staged:
            # Before the statement: once it has taken effect, nothing but the recording of that may fail.
            for batch in wave:
                if errors := staged.rejects(batch):
                    tools.rejects.record(batch, errors)
            former = [job for batch in wave for job in self._former.get(batch.batch_id, ())]
            identity = statement_identity(wave, self._seen, former)
            now = dt.datetime.now(dt.UTC)
            self._record([state.submitted(self._rows[b.batch_id], identity, now, **staged.counts(b)) for b in wave])
            try:
                tools.jobs.statement(identity, staged.sql, self._location)
            except JobFailed:
                for batch in wave:
                    self._former.setdefault(batch.batch_id, []).append(identity)
                raise
            self._settle([state.done(row, dt.datetime.now(dt.UTC)) for row in self._of(wave)])

    def _fail(self, failures: Sequence[tuple[Batch | Refused, Exception]]) -> None:
        """Record FAILED, and what BigQuery or Wharf has against each batch."""
        if not failures:
            return
        # By threads, whose rows gather into few statements.
        list(self._tools.pool.map(lambda failure: self._reject(*failure), failures))
        now = dt.datetime.now(dt.UTC)
        self._settle([state.failed(self._rows[b.landing.batch_id], _placed(b, error), now) for b, error in failures])

    def _reject(self, batch: Batch | Refused, error: Exception) -> None:
        if isinstance(error, JobFailed):
            self._tools.rejects.record(batch, error.errors)
        elif isinstance(error, WharfError):
            self._tools.rejects.record(batch, [{"reason": "refused", "message": _placed(batch, error)}])

    def _hold(self, batches: Sequence[Batch], behind: str = "") -> None:
        """Let batches wait until those before them are DONE."""
        if not behind:
            undone = [row for id_, row in self._rows.items() if row["status"] == state.FAILED or id_ in self._lost]
            behind = min((row["directory"] for row in undone), default="")
        why = f"waits for {behind}, which comes before it in this ordered table: mend that one, or deliver it again"
        self._settle([state.held(self._rows[batch.batch_id], why) for batch in batches])

    def _of(self, batches: Sequence[Batch]) -> list[Row]:
        return [self._rows[batch.batch_id] for batch in batches]

    def _is_open(self, batch: Batch) -> bool:
        return self._rows[batch.batch_id]["status"] in state.LIVING

    def _settle(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record how batches ended here; of one that is somebody else's by now, he will.

        Their files come first: who finds a batch DONE does not look for its files again.
        """
        ended = [row for row in rows if row["status"] != state.DISCOVERED and row["batch_id"] in self._batches]
        self._tools.files.record((self._batches[row["batch_id"]], row) for row in ended)
        try:
            self._record(rows)
        except TakenOver as error:
            self._lose(error)

    def _lose(self, error: TakenOver) -> None:
        _LOG.warning("%s", error)
        self._lost |= set(error.batch_ids)

    def _record(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raises: TakenOver."""
        for row in rows:
            self._rows[row["batch_id"]] = dict(row)
        self._tools.state.write(rows)


def _is_about_one(error: Exception) -> bool:
    """Whether the error is about some batch of several; a permission or an outage is about all."""
    if isinstance(error, JobFailed):
        return error.is_about_data
    return isinstance(error, WharfError) and not isinstance(error, UsageError)


def _placed(batch: Batch | Refused, error: Exception) -> str:
    """The error in a line, with the batch's directory."""
    directory, text = batch.landing.directory, str(error).strip().splitlines()[0]
    return text if directory in text else f"{directory}: {text}"
