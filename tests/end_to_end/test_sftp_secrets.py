"""Secrets are nowhere but where they belong: a whole run is searched for them, and the job graph too."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Iterator

import apache_beam as beam
import pytest

from pipelines.bigquery_to_sftp import Job, build
from pipelines.command_line import beam_options
from pipelines.sftp_export_run import Ready, resolve, take
from tests.end_to_end.dataflow import unpacked
from tests.servers import mail_server, webhook
from tests.servers.mail_server import Mailbox, MailServer, make_certificates
from tests.servers.sftp_faults import PASSWORD, FaultyServer, Sound
from tests.servers.webhook import Webhook
from wharf.connectors.config import load_config
from wharf.connectors.deliveries import deliveries_of
from wharf.connectors.endpoints import Endpoints
from wharf.model.sftp_run import FLAGS

WRONG = "not-the-one-31337"
LOGGERS = ("wharf", "transforms", "pipelines", "apache_beam", "paramiko", "google", "smtplib", "requests")


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Everything that is logged, down to DEBUG; at the loggers, as the pipeline sets up the root's handlers itself."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.name} {record.getMessage()} {record.args} {record.exc_info}")

    handler = Keep()
    former = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield lines
    for name, level in former.items():
        logging.getLogger(name).removeHandler(handler)
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def server(tmp_path) -> Iterator[FaultyServer]:
    with FaultyServer(Sound, tmp_path / "files") as running:
        yield running


def everything(delivery) -> bytes:
    """What a run leaves behind: its rows, what it staged and what is on the server."""
    rows = json.dumps([delivery.runs(), delivery.file_rows()], default=str).encode()
    files = [path for root in (delivery.staging, delivery.remote) for path in root.rglob("*") if path.is_file()]
    return rows + b"".join(path.name.encode() + path.read_bytes() for path in files)


@pytest.mark.parametrize(
    ("literal", "password", "code"), [(True, PASSWORD, 0), (True, WRONG, 1), (False, WRONG, 1), (False, None, 1)]
)
def test_a_run_shows_no_secret_anywhere(
    deliver_to, server, orders, logged, monkeypatch, tmp_path, literal, password, code
):
    make_certificates(tmp_path)
    delivery = deliver_to(server.target(), server.root)
    monkeypatch.setenv("DEBUG", "1")
    if literal:
        delivery.sftp["password"] = password
    elif password:
        (tmp_path / "files.password").write_text(password)
    else:
        monkeypatch.setenv("SFTP_PASSWORD", WRONG)
    mailbox = Mailbox()
    with Webhook() as slack, MailServer(mailbox, tmp_path, "starttls") as mail:
        email = {
            "host": "127.0.0.1",
            "port": mail.port,
            "username": mail_server.USER,
            "password": mail_server.PASSWORD,
            "from": "wharf@example.com",
            "to": ["people@example.com"],
            "ca_file": str(tmp_path / "ca.pem"),
        }
        delivery.write(
            {"daily": {"source_table": orders(20)}},
            notifications={"slack": {"webhook": slack.url}, "email": email},
        )
        ended = delivery.run("--export_name=daily")
        assert ended.code == code, ended.err
        status = delivery.wharf("status", "--json")
        retried = delivery.wharf("retry")
    assert server.passwords, "the password was tried"
    assert slack.posts
    assert mailbox.messages
    told = json.dumps([message for _, message in slack.posts]) + str([str(message) for _, message in mailbox.messages])
    (row, *_) = delivery.runs()
    assert row["notification_error"] is None
    config = load_config(str(delivery.config), Endpoints.resolve())
    assert config.debug
    assert logged, "something was logged"
    shown = "\n".join([*map(str, (ended, status, retried)), *logged, told, repr(config), str(config)]).encode()
    secrets = (PASSWORD, WRONG, mail_server.PASSWORD, webhook.PATH)
    for secret in secrets:
        assert secret.encode() not in shown + everything(delivery)
    assert row["export_id"].encode() in shown
    assert row["export_id"].encode() in everything(delivery)


def test_the_job_graph_holds_references_only(deliver_to, server, orders, monkeypatch):
    delivery = deliver_to(server.target(), server.root)
    delivery.sftp["password"] = PASSWORD
    monkeypatch.setenv("EMAIL_PASSWORD", mail_server.PASSWORD)
    email = {"host": "mail.example.com", "from": "wharf@example.com", "to": ["people@example.com"], "username": "u"}
    delivery.write(
        {"daily": {"source_table": orders(20)}},
        notifications={"slack": {"webhook": f"https://hooks.example.com{webhook.PATH}"}, "email": email},
    )
    endpoints = Endpoints.resolve()
    config = load_config(str(delivery.config), endpoints)
    deliveries = deliveries_of(config, endpoints, delivery.project)
    options = beam_options([], FLAGS, endpoints)
    job = Job(config, str(delivery.config), deliveries, options, dt.timedelta(minutes=10), False)
    now = dt.datetime.now(dt.UTC)
    ready = take(resolve(config, deliveries, config.exports["daily"], now.date(), now, "job"), job.lease, force=False)
    assert isinstance(ready, Ready)
    pipeline = beam.Pipeline(options=options)
    build(pipeline, job, [ready])
    graph = b"\n".join(unpacked(pipeline.to_runner_api().SerializeToString()))
    for reference in (
        b"exports.json#/sftp/password",
        b"exports.json#/notifications/slack/webhook",
        b"env:EMAIL_PASSWORD",
    ):
        assert reference in graph, "its references are there: what is packed was opened"
    assert b"hooks.example.com" not in graph
    for secret in (PASSWORD, mail_server.PASSWORD, webhook.PATH):
        assert secret.encode() not in graph
