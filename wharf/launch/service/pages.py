"""The pages for people: all runs, and one run with its files, its error and the command that repeats it.

Made here and complete as they are sent: nothing in them needs a script, and they load nothing but their own style.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from wharf.connectors.run_history import RunHistory
from wharf.launch.service import plots, wording
from wharf.launch.service.filters import Filters, page_number
from wharf.model.errors import UsageError, WharfError
from wharf.model.history import ledger_sql, retries
from wharf.model.history.runs import STATUSES, Run
from wharf.model.history.unsettled import unsettled
from wharf.model.launching.pipelines import PIPELINES
from wharf.model.launching.record import LaunchRecord

Launches = Callable[[], Awaitable[Sequence[LaunchRecord]]]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_RUNS_A_PAGE = 40
_FILES_A_PAGE = 100
_DAYS = 31  # that the page looks back, unless one day is asked for
_DAYS_OF_A_NAME = 400  # a monthly export has twelve runs in them
_PLOTTED_RUNS = 60
_SHOWN_TROUBLES = 8
_log = logging.getLogger(__name__)


class Pages:
    """Makes the pages from the history of runs; `project` and `region` are those of Dataflow's jobs."""

    def __init__(self, history: RunHistory, project: str = "", region: str = "") -> None:
        self._history, self._project, self._region = history, project, region
        package = "wharf.launch.service"
        self.style = (files(package) / "templates" / "style.css").read_bytes()
        self.icon = (files(package) / "templates" / "icon.svg").read_bytes()
        self._templates = Environment(
            loader=PackageLoader(package),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= wording.FILTERS
        self._templates.globals |= {
            "project": project,
            "version": hashlib.sha256(self.style + self.icon).hexdigest()[:12],
            "words": wording.STATUS_WORDS,
            "meanings": wording.STATUS_MEANINGS,
            "console": self._console,
        }

    def runs(self, query: Mapping[str, str], launches: Sequence[LaunchRecord]) -> HTMLResponse:
        """The page of all runs, as a query filters them."""
        now = dt.datetime.now(dt.UTC)
        try:
            asked = Filters.of(query, now.date())
        except UsageError as error:
            return self._problem(400, "This is not understood", str(error))
        return self._guarded(lambda: self._runs(asked, now, launches))

    def run(
        self, run_id: str, query: Mapping[str, str], launch: LaunchRecord | None = None, runs: Sequence[Run] = ()
    ) -> HTMLResponse:
        """The page of one run; or of a `launch`, with the `runs` that its job did."""
        try:
            page = page_number(query)
        except UsageError as error:
            return self._problem(400, "This is not understood", str(error))
        if launch:
            return self._page("launch.html", launch=launch, runs=runs, retry=retries.launch_again(launch.launch))
        return self._guarded(lambda: self._run(run_id, page))

    def _runs(self, asked: Filters, now: dt.datetime, launches: Sequence[LaunchRecord]) -> HTMLResponse:
        history, today = self._history, now.date()
        month = today - dt.timedelta(days=_DAYS - 1)
        horizon = today - dt.timedelta(days=_DAYS_OF_A_NAME) if asked.name else month
        pipeline, name = asked.pipeline, asked.name
        since, until = (asked.day, asked.day) if asked.day else (horizon, None)
        with ThreadPoolExecutor(5) as pool:
            wanted = partial(history.runs, pipeline=pipeline, name=name, since=since, until=until)
            listed = pool.submit(wanted, status=asked.status, after=asked.after, limit=_RUNS_A_PAGE + 1)
            plotted = pool.submit(wanted, limit=_PLOTTED_RUNS) if name else None
            counted = pool.submit(history.days, month, pipeline=pipeline, name=name)
            broken = pool.submit(history.troubles, month, pipeline=pipeline, name=name)
            unrecorded = pool.submit(self._unrecorded, launches, asked, month)
            runs, days, troubles = listed.result(), counted.result(), broken.result()
        charts = plots.by_day(days, month, today)
        if plotted:
            chart = plots.by_run(name, plotted.result())
            charts = [chart] if chart else []
        today_by_status: Counter[str] = Counter()
        for total in days:
            if total.day == today:
                today_by_status[total.status] += total.runs
        return self._page(
            "runs.html",
            asked=asked,
            now=now,
            runs=runs[:_RUNS_A_PAGE],
            older=asked.older(runs[_RUNS_A_PAGE - 1]) if len(runs) > _RUNS_A_PAGE else "",
            troubles=troubles[:_SHOWN_TROUBLES],
            further=len(troubles) - _SHOWN_TROUBLES,
            launches=unrecorded.result(),
            launch_again=retries.launch_again,
            today=today_by_status,
            charts=charts,
            names=sorted({name for total in days for name in total.names}),
            pipelines=PIPELINES,
            statuses=STATUSES,
            horizon=since,
            days=_DAYS,
        )

    def _unrecorded(self, launches: Sequence[LaunchRecord], asked: Filters, since: dt.date) -> list[LaunchRecord]:
        """Launches that have not succeeded, and of which no ledger tells; names of runs are other ones."""
        found = [
            record
            for record in unsettled(launches)
            if record.accepted_at.date() >= since and asked.pipeline in ("", record.launch.pipeline) and not asked.name
        ]
        known = self._history.known_jobs({record.job_id for record in found if record.job_id})
        return [record for record in found if record.job_id not in known]

    def _run(self, run_id: str, page: int) -> HTMLResponse:
        history = self._history
        found = history.run(run_id)
        if not found:
            text = f"No ledger tells of a run {run_id[:200]!r}. One that was launched just now may not have begun."
            return self._problem(404, "There is no such run", text)
        with ThreadPoolExecutor(2) as pool:
            listed = pool.submit(history.files, found, _FILES_A_PAGE + 1, (page - 1) * _FILES_A_PAGE)
            recorded = history.recorded(found)
        its_files = listed.result()
        meanings = {column.name: column.description for column in ledger_sql.SHAPES[found.pipeline].columns}
        return self._page(
            "run.html",
            run=found,
            files=its_files[:_FILES_A_PAGE],
            files_are=wording.FILES_ARE.get(found.pipeline, "file"),
            page=page,
            first=(page - 1) * _FILES_A_PAGE + 1,
            has_more=len(its_files) > _FILES_A_PAGE,
            recorded=[(name, value, meanings.get(name, "")) for name, value in recorded.items() if value is not None],
            now=dt.datetime.now(dt.UTC),
            names_of=Filters(pipeline=found.pipeline, name=found.name).link(),
        )

    def _guarded(self, make: Callable[[], HTMLResponse]) -> HTMLResponse:
        """A page, or one that says why there is none."""
        try:
            return make()
        except (WharfError, GoogleAPIError, GoogleAuthError) as error:
            _log.warning("the history of runs cannot be read: %s", error)
            text = str(error) if isinstance(error, WharfError) else "BigQuery does not answer; try again in a minute."
            return self._problem(503, "The history of runs cannot be read", text)

    def _problem(self, status: int, heading: str, text: str) -> HTMLResponse:
        return self._page("problem.html", status, heading=heading, text=text, status=status)

    def _page(self, template: str, status_code: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(values), status_code, headers=_HEADERS)

    def _console(self, job_id: str) -> str:
        """Where Google shows a job of Dataflow's; empty for others."""
        if not (self._region and retries.is_on_dataflow(job_id)):
            return ""
        return f"https://console.cloud.google.com/dataflow/jobs/{self._region}/{job_id}?project={self._project}"


def wants_page(accept: str) -> bool:
    """Whether a request's header `Accept` comes from a browser: it names HTML, and JSON not before it."""
    named = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "text/html" in named and "application/json" not in named[: named.index("text/html")]


def router(pages: Pages, launches: Launches | None = None) -> APIRouter:
    """The page of all runs, and what the pages load. `launches` are looked at for those that no ledger tells of."""
    made = APIRouter(include_in_schema=False)

    @made.get("/")
    async def runs(request: Request) -> Response:
        found = await launches() if launches else ()
        return await run_in_threadpool(pages.runs, dict(request.query_params), found)

    @made.get("/style.css")
    async def style() -> Response:
        return _asset(pages.style, "text/css")

    @made.get("/icon.svg")
    async def icon() -> Response:
        return _asset(pages.icon, "image/svg+xml")

    return made


def _asset(content: bytes, media_type: str) -> Response:
    """Something that the pages name together with its version."""
    headers = _HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(content, media_type=media_type, headers=headers)
