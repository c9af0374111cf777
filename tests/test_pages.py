"""The pages for people, as they are sent: what they say, and what they refuse."""

from __future__ import annotations

import datetime as dt
import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import httpx
import pytest
from fastapi import FastAPI, Request

from tests.recorded_runs import DAY, MINUTE, Ledgers, batch, delivered, exported, fetched, loaded
from wharf.launch.service import pages
from wharf.launch.service.pages import Pages, wants_page
from wharf.model.errors import UsageError
from wharf.model.launching.launch import Launch
from wharf.model.launching.record import LaunchRecord

NOW = dt.datetime.now(dt.UTC)
TODAY = max(NOW - 10 * MINUTE, NOW.replace(hour=0, minute=0, second=0, microsecond=0))
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "option"}


class Checked(HTMLParser):
    """Refuses a page whose elements do not close in order, or whose ids are not unique; collects its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attrs)
        self.ids += [given["id"]] if given.get("id") else []
        assert not {name for name in given if name.startswith("on")}, "scripts are for nobody"
        assert "style" not in given, "the content security policy refuses it"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass  # SVG's own

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class Site:
    """The pages of a test's own ledgers, and of launches that it may add."""

    def __init__(self, ledgers: Ledgers) -> None:
        self.ledgers = ledgers
        self.launches: list[LaunchRecord] = []
        self.pages = Pages(ledgers.history, "my-project", "europe-west1")
        self.app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
        self.app.include_router(pages.router(self.pages, self._recent))

        @self.app.get("/runs/{run_id}")
        def run(run_id: str, request: Request):
            return self.pages.run(run_id, request.query_params)

    async def _recent(self) -> list[LaunchRecord]:
        return self.launches

    async def answer(self, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://wharf") as client:
            return await client.get(path)

    def get(self, path: str = "/", status: int = 200) -> httpx.Response:
        import asyncio

        answer = asyncio.run(self.answer(path))
        assert answer.status_code == status, answer.text
        return answer

    def text(self, path: str = "/", status: int = 200) -> str:
        return Checked(self.get(path, status).text).text


@pytest.fixture
def site(stack) -> Site:
    return Site(Ledgers.of(stack))


def rows(page: str) -> list[str]:
    """The text of each row of the table of runs."""
    table = re.search(r'<table class="runs">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    found = re.findall(r"<tr.*?</tr>", table[1], re.DOTALL) if table else []
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in found]


def launch(name: str = "sensors", *, window: str = "20250301-20250401", at: dt.datetime = NOW - MINUTE) -> LaunchRecord:
    parameters = {"source_table": "p.d.sensors", "output": "gs://b/s", "when_read_from": "2025-03-01T00:00:00"}
    asked = Launch(pipeline="bigquery_to_avro", name=name, parameters=parameters, window=window, key=f"{at}")
    return LaunchRecord.accepted(asked, ["k"], "me", at)


def test_before_anything_has_run_the_page_says_so(site):
    text = site.text()
    assert "Nothing to look at" in text
    assert "No such runs since" in text


def test_the_page_shows_runs_of_all_pipelines_with_their_zone_written_out(site):
    site.ledgers.export(exported("e1", TODAY))
    site.ledgers.deliver(delivered("orders_daily-20250320-1", NOW - DAY))
    site.ledgers.load(loaded(batch(), NOW - 2 * DAY))
    site.ledgers.fetch(fetched("r1", began=NOW - 3 * DAY))
    page = site.get().text
    shown = rows(page)
    assert [row.split()[1] for row in shown] == ["measurements", "orders_daily", "sales.orders", "acme/xero"]
    assert f"{TODAY:%Y-%m-%d %H:%M} UTC" in shown[0]
    assert "bigquery_to_avro, 2025-03" in shown[0]
    assert shown[0].endswith("1,000,000 18.1 MiB 5 min")
    assert f'<time datetime="{TODAY:%Y-%m-%dT%H:%M:%SZ}">' in page
    assert "1 Succeeded" in Checked(page).text
    assert page.count('role="img"') == 2 * 4


def test_what_needs_somebody_comes_first_with_since_when_and_what_to_type(site):
    february = {
        "window_from": dt.datetime(2025, 2, 1, tzinfo=dt.UTC),
        "window_to": dt.datetime(2025, 3, 1, tzinfo=dt.UTC),
    }
    site.ledgers.export(
        exported("old", NOW - 3 * DAY, "FAILED"),
        exported("new", NOW - 2 * DAY, "FAILED", error_message="no permission on gs://bucket"),
        exported("gone", NOW - DAY, "RUNNING", lease_until=NOW - 60 * MINUTE, **february),
    )
    page = site.get().text
    before, _, after = page.partition("Newest runs")
    text = Checked(page).text
    assert "2 things to look at" in text
    assert f"since {NOW - 3 * DAY:%Y-%m-%d %H:%M} UTC , 3 d ago; 2 runs" in text
    assert "no permission on gs://bucket" in before
    assert f"nothing heard since {NOW - 60 * MINUTE:%Y-%m-%d %H:%M} UTC" in text
    commands = [
        html.unescape(re.sub("<[^>]+>", "", found)) for found in re.findall(r"<code>(.*?)</code>", before, re.DOTALL)
    ]
    assert [command.split()[:3] for command in commands] == [["wharf", "run", "bigquery_to_avro"]] * 2
    assert commands[0].endswith("--when_read_from 2025-02-01T00:00:00 --when_read_to 2025-03-01T00:00:00")
    assert "<pre" not in after


def test_the_command_on_the_page_is_the_command(site):
    """It is set in pieces, which must not change what is copied."""
    query = "SELECT '<b>' AS x -- and --more"
    site.ledgers.export(exported("e1", NOW - DAY, "FAILED", source_table=query))
    (found,) = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", site.get("/runs/e1").text, re.DOTALL)
    run = site.ledgers.history.run("e1")
    assert html.unescape(re.sub(r"</?span>", "", found)) == run.retry
    assert query.replace("'", "'\"'\"'") in run.retry


def test_while_a_run_is_at_work_on_a_failure_nobody_is_told_to_begin_another(site):
    site.ledgers.export(exported("bad", NOW - DAY, "FAILED"), exported("again", NOW - MINUTE, "RUNNING"))
    page = site.get().text
    assert "A run is at work on it" in page
    assert "<pre" not in page


def test_a_launch_whose_job_died_before_it_recorded_anything_is_seen(site):
    dead = launch().launched("job-1", NOW).ended("FAILED", NOW, "the image cannot be pulled")
    site.launches = [dead, launch("starting").launched("job-2", NOW)]
    text = site.text()
    assert "1 thing to look at" in text
    assert "sensors bigquery_to_avro, 2025-03: launched" in text
    assert "the image cannot be pulled" in text
    assert "wharf run sensors --target dataflow --source_table p.d.sensors" in text
    assert "Launched, nothing recorded yet: starting" in text
    site.ledgers.export(exported("e1", NOW - MINUTE, "RUNNING", job_id="job-2"))
    assert "nothing recorded yet" not in site.text()
    assert "sensors" not in site.text("/?pipeline=bigquery_to_sftp")
    site.launches.append(replace(launch(at=NOW), state="SUCCESS"))
    assert "Nothing to look at" in site.text()


def test_a_launch_has_a_page(site):
    dead = launch().launched("2025-03-20_05_00_00-123", NOW).ended("FAILED", NOW, "the image cannot be pulled")
    page = site.pages.run(dead.run_id, {}, dead).body.decode()
    text = Checked(page).text
    for said in (
        "the image cannot be pulled",
        "wharf run sensors",
        "source_table p.d.sensors",
        dead.job_name,
        "bigquery_to_avro, 2025-03 ·",
    ):
        assert said in text
    assert "dataflow/jobs/europe-west1/2025-03-20_05_00_00-123?project=my-project" in page
    begun = site.pages.run("x", {}, launch()).body.decode()
    assert "has recorded nothing yet" in Checked(begun).text
    site.ledgers.export(exported("e1"))
    did = site.pages.run(dead.run_id, {}, dead, site.ledgers.history.runs()).body.decode()
    assert '<a href="/runs/e1">measurements</a>' in did


def test_runs_are_filtered_and_the_form_keeps_what_was_asked(site):
    site.ledgers.export(exported("e1", NOW - DAY), exported("e2", NOW - 2 * DAY, "FAILED", export_name="o'brien & co"))
    site.ledgers.fetch(fetched("r1", began=NOW - DAY))
    assert len(rows(site.get("/?pipeline=bigquery_to_avro").text)) == 2
    assert len(rows(site.get("/?pipeline=&name=&status=&day=").text)) == 3
    named = site.get("/?name=o%27brien+%26+co&status=failed").text
    assert [row.split()[0] for row in rows(named)] == ["Failed"]
    assert 'value="o&#39;brien &amp; co"' in named
    assert '<option value="FAILED" selected>Failed</option>' in named
    assert "Rows of a run" in named
    day = (NOW - DAY).date()
    assert len(rows(site.get(f"/?day={day}").text)) == 2
    assert len(rows(site.get("/?day=yesterday").text)) == 2
    assert f'value="{day}"' in site.get(f"/?day={day}").text
    assert '<option value="o&#39;brien &amp; co">' in site.get().text


def test_runs_come_page_by_page(site):
    site.ledgers.export(*(exported(f"e{n:03}", NOW - n * MINUTE) for n in range(100)))
    seen, path = [], "/?pipeline=bigquery_to_avro"
    while path:
        page = site.get(path).text
        seen += re.findall(r'<th scope="row">\s*<a href="/runs/(e\d+)"', page)
        older = re.search(r'href="([^"]+)" rel="next">Older runs', page)
        path = html.unescape(older[1]) if older else ""
    assert seen == [f"e{n:03}" for n in range(100)]
    assert "Newest runs</a>" in page


def test_a_run_has_a_page_with_its_files_its_error_and_everything_recorded(site):
    error = "1 of 2 files is not on the server\nin/b.csv: no space <left>"
    site.ledgers.deliver(delivered("orders_daily-20250320-1", NOW - DAY, "FAILED", error_message=error))
    file = {"export_id": "orders_daily-20250320-1", "rows": 10, "bytes": 2048, "started_at": NOW - DAY}
    site.ledgers.files(
        site.ledgers.tables.deliveries,
        *(file | {"file_uri": f"gs://s/{n:03}.csv", "status": "SUCCESS", "error_message": None} for n in range(100)),
        file | {"file_uri": "gs://s/bad.csv", "status": "FAILED", "error_message": "no space <left>"},
    )
    page = site.get("/runs/orders_daily-20250320-1").text
    text = Checked(page).text
    assert "no space &lt;left&gt;" in page
    assert "wharf retry --config CONFIG --export_name orders_daily --export_id orders_daily-20250320-1" in text
    assert "For CONFIG write the path" in text
    assert re.findall(r"gs://s/(\w+)\.csv", page)[:2] == ["bad", "000"]
    assert "window_from" in text
    assert "First instant of the window" in text
    assert 'href="/?pipeline=bigquery_to_sftp&amp;name=orders_daily"' in page
    assert "dataflow/jobs/europe-west1/2025-03-20_05_00_00-1234567890" in page
    following = site.get("/runs/orders_daily-20250320-1?page=2").text
    assert re.findall(r"gs://s/(\w+)\.csv", following) == ["099"]
    assert "Earlier files" in following
    assert "Further files" not in following


def test_each_kind_of_run_has_a_page(site):
    site.ledgers.load(loaded(batch(), NOW, "DISCOVERED", "waits for another"))
    site.ledgers.fetch(fetched("r1", began=NOW, status="STOPPED"))
    site.ledgers.export(exported("e1", NOW - DAY, "RUNNING", lease_until=NOW - MINUTE))
    assert "waits for another" in site.text(f"/runs/{batch().batch_id}")
    fetch = site.text("/runs/r1")
    assert "Endpoints 1 to 1 of 1" in fetch
    assert "the next run goes on where this one was" in fetch
    assert "Nothing heard since" in site.text("/runs/e1")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/?pipeline=bigquery_to_avr", "did you mean bigquery_to_avro"),
        ("/?status=LOST", "status: 'LOST' is none of RUNNING"),
        ("/?day=2025-13-01", "day: '2025-13-01' is not a day"),
        ("/?day=20250301", "day: '20250301'"),
        ("/?day=0001-01-01", "day: '0001-01-01'"),
        ("/?after=yesterday", "begin with the newest runs"),
        ("/?after=9999-12-31T23:59:59.999999Z+x", "begin with the newest runs"),
        ("/?name=" + "x" * 301, "name: it has 301 characters"),
        ("/?pipeline=%3Cscript%3Ealert(1)%3C/script%3E", "<script>alert(1)</script>"),
        ("/runs/e1?page=0", "page: '0' is not the number of a page"),
        ("/runs/e1?page=1e9", "page: '1e9'"),
    ],
)
def test_a_query_that_makes_no_sense_is_answered_with_what_is_wrong(site, path, said):
    answer = site.get(path, 400)
    assert said.lower() in Checked(answer.text).text.lower()
    assert "<script" not in answer.text
    assert 'href="/"' in answer.text


def test_a_run_that_there_is_not_gets_a_page(site):
    text = site.text("/runs/nothing%22%3E", 404)
    assert "There is no such run" in text
    assert 'nothing">' in text


def test_names_and_errors_are_text_whatever_they_hold(site):
    nasty = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
    site.ledgers.export(
        exported("e1", NOW - DAY, "FAILED", export_name=nasty, error_message=nasty, destination_uri=nasty)
    )
    for path in ("/", "/runs/e1", "/?" + httpx.QueryParams({"name": nasty}).__str__()):
        page = site.get(path).text
        assert "<img src=x" not in page
        assert "{{7*7}}" in html.unescape(page)
        Checked(page)


def test_no_page_may_load_or_send_anything_elsewhere(site):
    site.ledgers.export(exported("e1", NOW - DAY))
    for path, status in (("/", 200), ("/runs/e1", 200), ("/?day=x", 400), ("/runs/x", 404)):
        answer = site.get(path, status)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'")
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "<script" not in answer.text
        assert all(
            link.startswith(("/", "#"))
            for link in re.findall(r'(?:src|href)="([^"]*)"', answer.text)
            if "console.cloud" not in link
        )


def test_the_style_and_the_icon_are_kept_by_browsers_until_they_change(site):
    page = site.get().text
    for path, kind in (("/style.css", "text/css"), ("/icon.svg", "image/svg+xml")):
        assert re.search(rf'"{re.escape(path)}\?v=[0-9a-f]{{12}}"', page)
        answer = site.get(path)
        assert answer.headers["content-type"].startswith(kind)
        assert "immutable" in answer.headers["cache-control"]


def test_a_history_that_cannot_be_read_is_a_page_that_says_why(site):
    class Forbidden:
        def __getattr__(self, name):
            def ask(*_: object, **__: object):
                raise UsageError("the history of runs: no permission (bigquery.tables.getData)")

            return ask

    site.pages._history = Forbidden()
    assert "no permission (bigquery.tables.getData)" in site.text("/", 503)
    assert "no permission" in site.text("/runs/e1", 503)


def test_an_emulator_that_is_gone_is_no_traceback(site):
    site.ledgers.client._connection.API_BASE_URL = "http://127.0.0.1:9"
    site.pages._history._read_columns = lambda table: frozenset({"started_at", "discovered_at"})
    from google.api_core.exceptions import ServiceUnavailable

    def unavailable(*_: object, **__: object):
        raise ServiceUnavailable("secret internals")

    site.ledgers.client.query = unavailable
    text = site.text("/", 503)
    assert "BigQuery does not answer; try again" in text
    assert "internals" not in text


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html", True),
        ("application/json, text/html", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_browsers_get_pages_and_programs_json(accept, page):
    assert wants_page(accept) is page
