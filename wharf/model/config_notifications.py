"""The `notifications` of a configuration: those of all exports, and those of one, merged over them."""

from __future__ import annotations

import re
from typing import Any

from wharf.model import config_document as written
from wharf.model import templates
from wharf.model.config_mistakes import Findings
from wharf.model.config_secrets import reference
from wharf.model.json_document import Place, parse
from wharf.model.notification import FIELDS, Email, Notifications, Slack

_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
# ASCII, and nothing that could end an address or a header.
_BARE_ADDRESS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+"
_ADDRESS = re.compile(rf"""{_BARE_ADDRESS}|[^<>@,;:"\\]+ <{_BARE_ADDRESS}>""")
Level = dict[str, Any]  # what one level says: by key, channels as dicts (None: off), secrets as references


def load(text: str, uri: str) -> Notifications:
    """A document that is the `notifications` of a configuration alone, read from `uri`.

    Raises: DocumentError, a UsageError, that lists every mistake by its path.
    """
    data, repeated = parse(text, uri)
    findings = Findings({})
    for place in repeated:
        findings.wrong(place, "is given more than once: keep one")
    said = level(findings.check(data, written.Notifications, ()), (), uri, findings)
    found = settings(said, {"slack": ("slack",), "email": ("email",)}, findings)
    findings.raise_if_any(uri)
    return found


def level(notifications: written.Notifications, place: Place, uri: str, findings: Findings) -> Level:
    """What was written at `place`, checked key by key."""
    found: Level = {}
    for key in ("subject", "text"):
        template = getattr(notifications, key)
        if template and (wrong := templates.mistake(template, FIELDS)):
            findings.wrong((*place, key), wrong)
        if template:
            found[key] = template
    if notifications.has("on"):
        found["on"] = tuple(dict.fromkeys(notifications.on))
    if notifications.has("slack"):
        found["slack"] = _slack(notifications.slack, (*place, "slack"), uri, findings)
    if notifications.has("email"):
        found["email"] = _email(notifications.email, (*place, "email"), uri, findings)
    return found


def merged(below: Level, above: Level) -> Level:
    """`above` over `below`: channels key by key, everything else as a whole."""
    channels = {
        name: {**(below.get(name) or {}), **above[name]} for name in ("slack", "email") if above.get(name) is not None
    }
    return {**below, **above, **channels}


def settings(said: Level, places: dict[str, Place], findings: Findings) -> Notifications:
    """A merged level as the value that is used; `places` is where a key missing in a channel would stand."""
    slack, email = said.get("slack"), said.get("email")
    rest = {key: said[key] for key in ("on", "subject", "text") if key in said}
    return Notifications(
        slack=Slack(**slack)
        if slack is not None and _complete(slack, places["slack"], ("webhook",), findings)
        else None,
        email=_complete_email(email, places["email"], findings) if email is not None else None,
        **rest,
    )


def _slack(slack: written.Slack | None, place: Place, uri: str, findings: Findings) -> Level | None:
    if slack is None:
        return None
    webhook = reference(slack.webhook, (*place, "webhook"), uri, findings)
    return {"webhook": webhook} if webhook else {}


def _email(email: written.Email | None, place: Place, uri: str, findings: Findings) -> Level | None:
    if email is None:
        return None
    for key, addresses in (("from", [email.sender] if email.sender else []), ("to", email.to)):
        for index, address in enumerate(addresses):
            if not _ADDRESS.fullmatch(address):
                where: Place = (*place, key) if key == "from" else (*place, key, index)
                findings.wrong(where, "is not one e-mail address: write one like name@example.com")
    found = {name: getattr(email, name) for name in email.model_fields_set - {"password", "to"}}
    if email.has("to"):
        found["to"] = tuple(email.to)
    if password := reference(email.password, (*place, "password"), uri, findings):
        found["password"] = password
    return {key: value for key, value in found.items() if value is not None}


def _complete(channel: Level, place: Place, keys: tuple[str, ...], findings: Findings) -> bool:
    missing = [key for key in keys if not channel.get("sender" if key == "from" else key)]
    for key in missing:
        if findings.sound(place, key):
            findings.wrong((*place, key), "is missing")
    return not missing


def _complete_email(email: Level, place: Place, findings: Findings) -> Email | None:
    if not _complete(email, place, ("host", "from", "to"), findings):
        return None
    if bool(email.get("username")) != bool(email.get("password")) and findings.sound(place, "username", "password"):
        key, other = ("password", "username") if email.get("username") else ("username", "password")
        findings.wrong((*place, key), f"is missing: {other} alone is no log-in")
    tls = email.get("tls", "starttls")
    if tls == "none" and email.get("password"):
        findings.doubtful((*place, "tls"), "none sends the password unencrypted: anybody on the way can read it")
    return Email(**{"port": _PORTS[tls], **email})
