"""Who is told of a run: merged from two levels, complete and harmless."""

from __future__ import annotations

from typing import Any

import pytest

from tests.configs import loaded, mistakes
from wharf.model.notification import ENDS, Email, Notifications, Slack
from wharf.model.secrets import SecretRef

EMAIL = {"host": "mail", "from": "Wharf <wharf@example.com>", "to": ["a@example.com"]}
SLACK = {"webhook": "env:WEBHOOK"}


def test_notifications_of_an_export_are_merged_over_those_of_all() -> None:
    table = {"source_table": "d.t"}
    config = loaded(
        notifications={"slack": SLACK, "email": {**EMAIL, "tls": "implicit"}, "on": ["failure"], "subject": "{status}"},
        exports={
            "same": table,
            "other": {**table, "notifications": {"email": {"to": ["b@example.com"]}, "on": ["success", "failure"]}},
            "quiet": {**table, "notifications": {"slack": None}},
            "silent": {**table, "notifications": None},
        },
    )
    slack, email = Slack(webhook=SecretRef("env:WEBHOOK")), config.notifications.email
    assert email == Email(host="mail", port=465, sender=EMAIL["from"], to=("a@example.com",), tls="implicit")
    assert config.notifications == Notifications(slack=slack, email=email, on=("failure",), subject="{status}")
    told = {name: made.notifications for name, made in config.exports.items()}
    assert told["same"] == config.notifications
    assert told["other"].slack == slack
    assert told["other"].email == Email(
        host="mail", port=465, sender=EMAIL["from"], to=("b@example.com",), tls="implicit"
    )
    assert told["other"].on == ENDS
    assert told["quiet"] == Notifications(email=email, on=("failure",), subject="{status}")
    assert told["silent"] == Notifications()


def test_a_channel_may_be_completed_by_the_exports_and_is_missed_where_it_is_not() -> None:
    table = {"source_table": "d.t"}
    half = {"email": {key: EMAIL[key] for key in ("host", "from")}}
    to = {"notifications": {"email": {"to": ["a@example.com"]}}}
    whole = loaded(notifications=half, exports={"e": {**table, **to}})
    assert whole.exports["e"].notifications.email
    assert mistakes(notifications=half) == {"notifications.email.to": "is missing"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"slack": {}}, "slack.webhook"),
        ({"on": ["succes"]}, "on[0]"),
        ({"subject": "{stat}"}, "subject"),
        ({"text": "{rows"}, "text"),
        ({"email": {**EMAIL, "username": "u"}}, "email.password"),
        ({"email": {**EMAIL, "password": "env:P"}}, "email.username"),
        ({"email": {**EMAIL, "to": ["a@example.com", "a@b.c, d@e.f"]}}, "email.to[1]"),
        ({"email": {**EMAIL, "from": "nobody"}}, "email.from"),
        ({"email": {**EMAIL, "from": "a@b.c\r\nBcc: d@e.f"}}, "email.from"),
        ({"email": {**EMAIL, "tls": "ssl"}}, "email.tls"),
    ],
)
def test_notifications_that_cannot_be_sent_are_refused(change: dict[str, Any], path: str) -> None:
    assert list(mistakes(notifications=change)) == [f"notifications.{path}"]


def test_a_password_that_would_travel_unencrypted_is_warned_about() -> None:
    email = {**EMAIL, "tls": "none", "username": "u", "password": "env:P"}
    assert (
        "notifications.email.tls: none sends the password unencrypted"
        in loaded(notifications={"email": email}).warnings[0]
    )
