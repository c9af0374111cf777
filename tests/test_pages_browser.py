"""The pages in a browser: by keyboard, without scripts, on small screens, in light and dark, and as axe judges them.

    python -m pytest tests/test_pages_browser.py

needs Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi import FastAPI, Request

from tests.recorded_runs import DAY, MINUTE, Ledgers, batch, delivered, exported, fetched, loaded
from wharf.launch.service import pages
from wharf.launch.service.pages import Pages
from wharf.model.launching.launch import Launch
from wharf.model.launching.record import LaunchRecord

missing = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
missing += [name for name in ("selenium", "axe_core_python") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"a browser is needed; not installed: {', '.join(missing)}")

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
LONG = "a-name-that-no-line-of-a-small-screen-can-hold-" * 3


def recorded(stack: Any) -> tuple[Ledgers, LaunchRecord]:
    """Runs of every kind and status, and a launch that came to nothing."""
    ledgers = Ledgers.of(stack, shared=True)
    ledgers.export(
        *(exported(f"measurements-{day}", NOW - day * DAY) for day in range(3, 29)),
        exported("failed", NOW - 2 * DAY, "FAILED", error_message=f"no permission on gs://{LONG}"),
        exported("silent", NOW - DAY, "RUNNING", lease_until=NOW - MINUTE, export_name=LONG),
        exported("running", NOW - 3 * MINUTE, "RUNNING", export_name="meters"),
        delivered("orders_daily-20250320-1", NOW - DAY, "FAILED"),
        *(delivered(f"orders_daily-{day}", NOW - day * DAY) for day in range(2, 20)),
    )
    file = {"rows": 10, "bytes": 2048, "status": "SUCCESS", "started_at": NOW - 3 * DAY, "error_message": None}
    names = [f"gs://bucket/{LONG}/part-{number:03}.avro" for number in range(120)]
    ledgers.files(ledgers.tables.exports, *({"export_id": "measurements-3", "file_uri": name} | file for name in names))
    waits = loaded(batch("gs://in/next/"), NOW, "DISCOVERED", "waits for gs://in/late/")
    ledgers.load(waits, loaded(batch("gs://in/late/"), NOW - MINUTE, "FAILED"), loaded(batch(), NOW - DAY))
    ledgers.fetch(fetched("stopped", began=NOW - DAY, status="STOPPED"), fetched("stopped", "Contacts", NOW - DAY))
    asked = Launch(pipeline="bigquery_to_avro", name="sensors", parameters={"output": "gs://b/s"}, key="1")
    dead = LaunchRecord.accepted(asked, ["1"], "me", NOW - 9 * MINUTE).launched("job-9", NOW)
    return ledgers, dead.ended("FAILED", NOW, "the image cannot be pulled")


@pytest.fixture(scope="module")
def site(stack: Any) -> Iterator[str]:
    """The address of the pages."""
    ledgers, launch = recorded(stack)
    shown = Pages(ledgers.history, "my-project", "europe-west1")

    async def launches() -> list[LaunchRecord]:
        return [launch]

    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    app.include_router(pages.router(shown, launches))

    @app.get("/runs/{run_id}")
    def run(run_id: str, request: Request) -> Any:
        return shown.run(run_id, request.query_params, launch if run_id == "launch" else None)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        yield f"http://localhost:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def start_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """`start_browser(scripts=False)` -> a driver of a new Chromium."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    started = []

    def start(*, scripts: bool = True) -> Any:
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        started.append(webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver")))))
        return started[-1]

    yield start
    for driver in started:
        driver.quit()


@pytest.fixture(scope="module")
def browser(start_browser: Callable[..., Any]) -> Any:
    return start_browser()


def look(driver: Any, scheme: str, width: int) -> None:
    """Give the browser a screen of this width and the system this colour scheme."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def show(driver: Any, address: str, scheme: str = "light", width: int = 1280) -> None:
    """Open a page on such a screen."""
    look(driver, scheme, width)
    driver.get(address)


def focused(driver: Any) -> Any:
    return driver.switch_to.active_element


def press(driver: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


PAGES = {
    "all runs": "/",
    "runs of a name": "/?name=orders_daily",
    "no runs": "/?name=nothing",
    "a failed run": "/runs/failed",
    "a run with many files": "/runs/measurements-3",
    "a silent run": "/runs/silent",
    "a fetch": "/runs/stopped",
    "a launch": "/runs/launch",
    "no such run": "/runs/nothing",
    "a bad query": "/?day=tomorow",
}


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES.keys())
def test_axe_finds_nothing_wrong_in_light_and_dark_on_large_and_small_screens(browser, site, path):
    from axe_core_python.selenium import Axe

    show(browser, f"{site}{path}")
    for details in browser.find_elements("tag name", "summary"):
        details.click()
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)):
        look(browser, scheme, width)
        found = Axe().run(browser)["violations"]
        said = [(each["id"], each["help"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found]
        assert said == [], (scheme, width)


@pytest.mark.parametrize("path", ["/", "/runs/failed", "/runs/measurements-3", "/runs/launch"])
def test_no_page_is_wider_than_the_screen(browser, site, path):
    show(browser, f"{site}{path}")
    for width in (320, 400, 640, 768, 1280):
        look(browser, "light", width)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_light_and_dark_are_what_the_system_wants(browser, site):
    def paper() -> int:
        colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))

    show(browser, site, scheme="light")
    assert paper() > 600
    show(browser, site, scheme="dark")
    assert paper() < 150


def test_a_status_is_a_word_and_a_sign_not_a_colour_alone(browser, site):
    show(browser, site)
    shown = browser.find_elements("css selector", ".status")
    assert {each.text for each in shown} >= {"Failed", "Silent", "Running", "Waiting", "Stopped", "Succeeded"}
    signs = {each.text: each.find_element("css selector", "svg").get_attribute("innerHTML") for each in shown}
    assert len(set(signs.values())) == len(signs)


def test_the_filter_is_reached_and_sent_with_the_keyboard_alone(browser, site):
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.wait import WebDriverWait

    show(browser, site)
    press(browser, Keys.TAB)
    assert focused(browser).text == "Skip to the content"
    press(browser, Keys.ENTER)
    reached = []
    for _ in range(60):
        press(browser, Keys.TAB)
        reached.append(focused(browser).get_attribute("id"))
        assert browser.execute_script("return document.activeElement.matches(':focus-visible')")
        assert browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle") != "none"
        if reached[-1] == "name":
            break
    assert reached[-2:] == ["pipeline", "name"]
    press(browser, "orders_daily", Keys.ENTER)
    wait = WebDriverWait(browser, 30, ignored_exceptions=[NoSuchElementException, StaleElementReferenceException])
    wait.until(lambda _: browser.find_element("tag name", "h1").text == "Runs of orders_daily")
    assert urlsplit(browser.current_url).query == "pipeline=&name=orders_daily&status=&day="
    names = {link.text for link in browser.find_elements("css selector", ".runs th[scope=row] a")}
    assert names == {"orders_daily"}
    assert browser.find_element("id", "name").get_attribute("value") == "orders_daily"


def test_everything_works_without_scripts(start_browser, site, tmp_path):
    browser = start_browser(scripts=False)
    probe = tmp_path / "probe.html"
    probe.write_text("<title>none</title><script>document.title = 'scripts run'</script>")
    browser.get(Path(probe).as_uri())
    assert browser.title == "none"
    browser.get(site)
    assert browser.find_element("id", "attention").text == "5 things to look at"
    browser.find_element("css selector", "#status option[value=FAILED]").click()
    browser.find_element("css selector", "form button").click()
    found = browser.find_elements("css selector", ".runs tbody .status")
    assert {each.text for each in found} == {"Failed"}
    browser.find_element("link text", "Show all").click()
    browser.get(f"{site}/runs/measurements-3")
    browser.find_element("partial link text", "Further files").click()
    assert "Files 101 to 120" in browser.find_element("css selector", ".files caption").text
    browser.find_element("css selector", "summary").click()
    assert "metering.measurements" in browser.find_element("css selector", ".recorded").text


def test_a_command_is_taken_whole_with_one_click(browser, site):
    show(browser, f"{site}/runs/failed", width=400)
    browser.find_element("css selector", ".command").click()
    taken = browser.execute_script("return getSelection().toString()")
    assert taken.startswith("wharf run bigquery_to_avro --target dataflow --source_table demo-project.metering")
    assert "\n" not in taken.strip()


def test_pages_load_nothing_but_their_own_style_and_icon_and_nothing_is_refused(browser, site):
    for log in ("performance", "browser"):
        browser.get_log(log)  # what came before
    for path in ("/", "/runs/failed"):
        show(browser, f"{site}{path}")
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    sent = [url for url in sent if not url.startswith("data:image/")]  # the browser's own sign of a date field
    assert {url.removeprefix(site).partition("?")[0] for url in sent} == {
        "/",
        "/runs/failed",
        "/style.css",
        "/icon.svg",
    }
    assert browser.get_log("browser") == []


def test_a_plot_says_in_words_what_it_shows(browser, site):
    show(browser, f"{site}/?name=orders_daily")
    plot = browser.find_element("css selector", "svg[role=img]")
    assert plot.accessible_name.startswith("Rows of a run")
    described = browser.execute_script("return arguments[0].querySelector('desc').textContent", plot)
    assert described.startswith("19 runs, from ")
    assert "Failed or silent: " in described
    assert len(plot.find_elements("css selector", ".mark")) == 1
