"""Notifications reach people, or say why not; nothing about them can fail a run or show a secret."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.servers.mail_server import PASSWORD, USER, Mailbox, MailServer, make_certificates
from tests.servers.webhook import PATH, Webhook
from tests.test_notification import OUTCOME
from wharf.connectors.notify import Patience, notify
from wharf.model.errors import UsageError
from wharf.model.notification import Email, Notifications, Outcome, Slack, body
from wharf.model.secrets import SecretRef

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

QUICK = Patience(attempts=3, pause=0.01, timeout=0.5)


def secrets(**values: str) -> Callable[[SecretRef], str]:
    """`env:NAME` -> the value of NAME."""
    return lambda ref: values[ref.rest]


# ---- Slack


def tell(slack: Webhook, outcome: Outcome = OUTCOME, **settings: Any) -> list[str]:
    to = Notifications(slack=Slack(webhook=SecretRef("env:URL")), **settings)
    failures = notify(outcome, to, secrets(URL=slack.url), patience=QUICK)
    assert PATH not in str(failures)
    return failures


def test_slack_gets_the_text_with_its_control_characters_escaped() -> None:
    with Webhook() as slack:
        assert tell(slack) == []
    [(path, message)] = slack.posts
    assert path == PATH
    assert "a &lt;b&gt; &amp; c" in message["text"]


def test_a_template_may_hold_slacks_own_markup() -> None:
    with Webhook() as slack:
        tell(slack, text="<!channel> *{export_name}*: {error}")
    assert slack.posts[0][1] == {"text": "<!channel> *daily*: a &lt;b&gt; &amp; c"}


def test_only_the_ends_that_were_asked_for_are_told() -> None:
    success = Outcome(pipeline="p", export_name="e", export_id="i", status="SUCCESS", date="d")
    with Webhook() as slack:
        tell(slack, success, on=("failure",))
        tell(slack, OUTCOME, on=("success",))
        assert slack.posts == []
        tell(slack, success, on=("success",))
        tell(slack, OUTCOME, on=("failure",))
        assert len(slack.posts) == 2


def test_a_server_that_asks_for_a_pause_gets_it() -> None:
    with Webhook((429, {"Retry-After": "1"}, "rate_limited")) as slack:
        assert tell(slack) == []
    assert slack.times[1] - slack.times[0] >= 1


def test_a_server_that_asks_for_an_hour_is_not_waited_for() -> None:
    with Webhook((429, {"Retry-After": "3600"}, "rate_limited")) as slack:
        assert tell(slack) == ["Slack: answers 429 (rate_limited)"]
        assert len(slack.posts) == 1


def test_a_bad_moment_is_tried_again_and_a_bad_day_is_given_up() -> None:
    with Webhook((500, {}, "oops"), (503, {}, "")) as slack:
        assert tell(slack) == []
        assert len(slack.posts) == 3
    with Webhook(*[(500, {}, PATH)] * 9) as slack:
        assert tell(slack) == ["Slack: answers 500 (no reason given)"]
        assert len(slack.posts) == QUICK.attempts


@pytest.mark.parametrize(
    ("status", "text", "word"), [(404, "no_service", "no_service"), (403, f"no {PATH}", "no reason given")]
)
def test_a_refusal_is_not_repeated(status: int, text: str, word: str) -> None:
    with Webhook((status, {}, text)) as slack:
        assert tell(slack) == [f"Slack: answers {status} ({word}); is the webhook env:URL still valid?"]
        assert len(slack.posts) == 1


def test_a_redirect_is_not_followed() -> None:
    with Webhook() as other, Webhook((302, {"Location": other.url}, "")) as slack:
        assert "answers 302" in tell(slack)[0]
        assert other.posts == []


@pytest.mark.parametrize("url", ["http://hooks.example.com" + PATH, PATH, "https://", "ftp://x" + PATH, "https://[x"])
def test_a_webhook_that_is_no_safe_url_is_not_used(url: str) -> None:
    settings = Notifications(slack=Slack(webhook=SecretRef("env:URL")))
    [failure] = notify(OUTCOME, settings, secrets(URL=url), patience=QUICK)
    assert failure.startswith("Slack: ")
    assert PATH not in failure


def test_a_server_that_is_not_there_or_does_not_answer_is_a_failure_in_words() -> None:
    settings = Notifications(slack=Slack(webhook=SecretRef("env:URL")))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}{PATH}"
        once = Patience(attempts=1, timeout=0.2)
        assert notify(OUTCOME, settings, secrets(URL=url), patience=once) == ["Slack: no answer within 0.2 s"]
    failures = notify(OUTCOME, settings, secrets(URL=url), patience=QUICK)
    assert failures == ["Slack: cannot be reached, or the connection broke"]


# ---- e-mail


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


Serve = Callable[..., Email]


@pytest.fixture
def serve(certificates: Path) -> Iterator[Serve]:
    """`serve(mailbox, tls)` -> the settings that lead to a mail server that was started for it."""
    with ExitStack() as running:

        def start(mailbox: Mailbox, tls: str = "starttls", *, auth: bool = True, **changes: Any) -> Email:
            server = running.enter_context(MailServer(mailbox, certificates, tls, auth=auth))
            settings: dict[str, Any] = {
                "host": "127.0.0.1",
                "port": server.port,
                "username": USER,
                "password": SecretRef("env:PASSWORD"),
                "sender": "Wharf <wharf@example.com>",
                "to": ("a@example.com", "b@example.com"),
                "tls": tls,
                "ca_file": str(certificates / "ca.pem"),
            }
            return Email(**settings | changes)

        yield start


def mail(to: Email, password: str = PASSWORD, outcome: Outcome = OUTCOME, **settings: Any) -> list[str]:
    failures = notify(outcome, Notifications(email=to, **settings), secrets(PASSWORD=password), patience=QUICK)
    assert password not in str(failures)
    return [failure.partition(": ")[2] for failure in failures]


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
def test_a_message_arrives_over_each_kind_of_connection(serve: Serve, tls: str) -> None:
    mailbox = Mailbox()
    assert mail(serve(mailbox, tls)) == []
    [(recipients, message)] = mailbox.messages
    assert recipients == ["a@example.com", "b@example.com"]
    assert message["Subject"] == "daily 2025-03-01: FAILED"
    assert message["From"] == "Wharf <wharf@example.com>"
    assert message["To"] == "a@example.com, b@example.com"
    assert abs(message["Date"].datetime - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    assert str(message["Message-ID"]).endswith("@example.com>")
    assert message.get_content().splitlines() == body(OUTCOME).splitlines()


def test_a_message_may_go_without_a_log_in(serve: Serve) -> None:
    mailbox = Mailbox()
    assert mail(serve(mailbox, "none", auth=False, username="", password=None)) == []
    assert len(mailbox.messages) == 1


def test_no_value_becomes_a_header(serve: Serve) -> None:
    mailbox = Mailbox()
    odd = Outcome(
        pipeline="p",
        export_name="x\r\nBcc: evil@example.com",
        export_id="i",
        status="FAILED",
        date="d\n\nbody",
        error="ümläut\r\n.\r\nQUIT",
    )
    assert mail(serve(mailbox), outcome=odd) == []
    [(recipients, message)] = mailbox.messages
    assert recipients == ["a@example.com", "b@example.com"]
    assert message["Bcc"] is None
    assert message["Subject"] == "x Bcc: evil@example.com d body: FAILED"
    assert "ümläut\n.\nQUIT" in message.get_content().replace("\r\n", "\n")


def test_a_refused_log_in_names_the_reference_and_is_not_repeated(serve: Serve) -> None:
    mailbox = Mailbox()
    [failure] = mail(serve(mailbox), password="wrong-password")
    assert failure == "log-in of wharf refused (535); is env:PASSWORD the right password?"


def test_a_password_that_smtp_cannot_carry_is_a_failure_in_words(serve: Serve) -> None:
    assert "ASCII" in mail(serve(Mailbox()), password="pässword")[0]


def test_a_certificate_that_nobody_vouches_for_is_refused(serve: Serve) -> None:
    for tls in ("starttls", "implicit"):
        mailbox = Mailbox()
        [failure] = mail(serve(mailbox, tls, ca_file=""))
        assert failure.startswith("the server's certificate is not trusted (")
        assert mailbox.messages == []


def test_a_certificate_for_another_name_is_refused(serve: Serve) -> None:
    [failure] = mail(serve(Mailbox(), host="localhost"))
    assert failure.startswith("the server's certificate is not trusted (")


def test_a_ca_file_that_is_none_is_named(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for path in (tmp_path / "none.pem", tmp_path / "empty.pem"):
        assert mail(serve(Mailbox(), ca_file=str(path))) == [
            f"ca_file {path} is not there, or no PEM file of certificates"
        ]


def test_the_password_is_not_sent_where_tls_is_missing(serve: Serve) -> None:
    plain = serve(Mailbox(), "none")
    [failure] = mail(Email(**{**vars(plain), "tls": "starttls"}))
    assert failure.startswith("the server offers no STARTTLS")
    [failure] = mail(Email(**{**vars(plain), "tls": "implicit"}))
    assert failure.startswith("TLS fails")


def test_a_server_without_log_in_is_named(serve: Serve) -> None:
    assert "offers no log-in" in mail(serve(Mailbox(), "none", auth=False))[0]


def test_a_refused_recipient_does_not_keep_the_message_from_the_others(serve: Serve) -> None:
    mailbox = Mailbox(recipients={"a@example.com": f"550 no such user {PASSWORD}"})
    assert mail(serve(mailbox)) == ["a@example.com refused: 550 no such user ***"]
    assert mailbox.messages[0][0] == ["b@example.com"]


def test_no_recipient_at_all_is_a_failure(serve: Serve) -> None:
    mailbox = Mailbox(recipients={"a@example.com": "550 gone", "b@example.com": "551 moved"})
    assert mail(serve(mailbox)) == ["a@example.com refused: 550 gone; b@example.com refused: 551 moved"]


def test_a_busy_server_is_tried_again_and_a_refusal_is_not(serve: Serve) -> None:
    busy = Mailbox(data=["451 try later", "451 try later"])
    assert mail(serve(busy)) == []
    assert (busy.tries, len(busy.messages)) == (3, 1)
    refusing = Mailbox(data=["554 looks like spam"] * 3)
    assert mail(serve(refusing)) == ["refused: 554 looks like spam"]
    assert refusing.tries == 1


def test_a_mail_server_that_is_not_there_or_does_not_answer_is_a_failure_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        to = Email(host="127.0.0.1", port=port, sender="a@b.c", to=("d@e.f",))
        settings = Notifications(email=to)
        [failure] = notify(OUTCOME, settings, secrets(), patience=Patience(attempts=1, timeout=0.2))
        assert failure.endswith(f"{port}: the connection broke, or there was no answer within 0.2 s")
    assert mail(to) == ["cannot be reached (Connection refused)"]


# ---- both


def test_one_channels_failure_does_not_keep_the_other_from_being_told(serve: Serve) -> None:
    mailbox = Mailbox()
    settings = Notifications(slack=Slack(webhook=SecretRef("env:URL")), email=serve(mailbox))

    def secret(ref: SecretRef) -> str:
        if ref.rest == "URL":
            raise UsageError(f"{ref}: the variable is not set")
        return PASSWORD

    assert notify(OUTCOME, settings, secret, patience=QUICK) == ["Slack: env:URL: the variable is not set"]
    assert len(mailbox.messages) == 1


def test_nothing_that_happens_is_raised() -> None:
    def broken(ref: SecretRef) -> str:
        raise RuntimeError(PASSWORD)

    settings = Notifications(slack=Slack(webhook=SecretRef("env:URL")))
    assert notify(OUTCOME, settings, broken, patience=QUICK) == ["Slack: not sent (RuntimeError)"]


def test_without_channels_nothing_is_done() -> None:
    assert notify(OUTCOME, Notifications(), secrets()) == []
