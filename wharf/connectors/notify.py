"""Sending notifications: Slack by an incoming webhook, e-mail by SMTP with TLS.

A notification never fails a run: what went wrong with it comes back as text, to be recorded. That text holds no
secret: not the webhook's URL, which requests puts into its own messages, and no password.
"""

from __future__ import annotations

import datetime as dt
import random
import re
import smtplib
import ssl
import time
from collections.abc import Callable
from contextlib import closing, suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from typing import NamedTuple
from urllib.parse import urlsplit

import requests

from wharf.connectors.endpoints import is_loopback
from wharf.model.errors import WharfError
from wharf.model.notification import Email, Notifications, Outcome, Slack, body, subject
from wharf.model.secrets import SecretRef

_LONGEST_PAUSE = 30.0  # seconds; a server that asks for more is not waited for
_LONGEST_TEXT = 35_000  # characters; Slack cuts at 40,000


class Patience(NamedTuple):
    """How long a channel is tried: `timeout` for each answer and the first `pause` are seconds."""

    attempts: int = 3
    pause: float = 2.0
    timeout: float = 15.0


class _Failed(Exception):
    """Not sent; `after` is the pause in seconds that the server asks for, None where another try is of no use."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


Secret = Callable[[SecretRef], str]


def notify(outcome: Outcome, settings: Notifications, secret: Secret, *, patience: Patience | None = None) -> list[str]:
    """Tell every channel of `settings` how a run ended -> what could not be told, and why; empty if all went well.

    `secret` gives the value of a reference. Never raises; a channel takes a few minutes at most.
    """
    patience = patience or Patience()
    failures = []
    if outcome.end not in settings.on:
        return []
    if slack := settings.slack:
        failures += _tried("Slack", lambda: _post(outcome, settings, slack, secret, patience.timeout), patience)
    if email := settings.email:
        what = f"e-mail by {email.host}:{email.port}"
        # One identity for all tries, so that a message that came twice can be told.
        identity = make_msgid(domain=parseaddr(email.sender)[1].rpartition("@")[2])
        failures += _tried(what, lambda: _mail(outcome, settings, email, identity, secret, patience.timeout), patience)
    return failures


def _tried(what: str, send: Callable[[], list[str]], patience: Patience) -> list[str]:
    for attempt in range(1, patience.attempts + 1):
        try:
            return [f"{what}: {refused}" for refused in send()]
        except _Failed as error:
            reason, after = str(error), error.after
        except WharfError as error:  # the secret cannot be had; it has been tried as often as makes sense
            reason, after = str(error), None
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not fail a run that is done
            reason, after = f"not sent ({type(error).__name__})", None
        if after is None or after > _LONGEST_PAUSE or attempt == patience.attempts:
            break
        time.sleep(max(after, random.uniform(0.5, 1) * patience.pause * 2 ** (attempt - 1)))
    return [f"{what}: {reason}"]


def _post(outcome: Outcome, settings: Notifications, slack: Slack, secret: Secret, timeout: float) -> list[str]:
    url = secret(slack.webhook)
    parts = urlsplit(url)
    if not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))) or not parts.hostname:
        raise _Failed(f"{slack.webhook} is no https:// URL; copy the webhook's URL from Slack")
    text = body(outcome, settings.text, _slack_text)[:_LONGEST_TEXT]
    try:
        # A redirect would turn the POST into a GET, and take the message to a place nobody named.
        answer = requests.post(url, json={"text": text}, timeout=timeout, allow_redirects=False)
    except requests.Timeout:
        raise _Failed(f"no answer within {timeout:g} s", after=0) from None
    except requests.exceptions.SSLError:
        raise _Failed("the server's certificate is not trusted") from None
    except requests.ConnectionError:
        raise _Failed("cannot be reached, or the connection broke", after=0) from None
    except (requests.RequestException, UnicodeError):
        raise _Failed(f"{slack.webhook} is not a URL that can be used") from None
    if answer.status_code == 200:
        return []
    # Slack answers with a word such as no_service; anything else may repeat the URL.
    word = answer.text.strip() if re.fullmatch(r"\s*[a-z_]{1,60}\s*", answer.text) else "no reason given"
    reason = f"answers {answer.status_code} ({word})"
    if answer.status_code == 429 or answer.status_code >= 500:
        raise _Failed(reason, after=_seconds(answer.headers.get("Retry-After", "")))
    raise _Failed(f"{reason}; is the webhook {slack.webhook} still valid?")


def _slack_text(value: str) -> str:
    """Slack's three control characters, https://docs.slack.dev/messaging/formatting-message-text."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _seconds(header: str) -> float:
    """`Retry-After` in seconds; a date, which Slack never sends, counts as no wish."""
    return float(header) if re.fullmatch(r"\s*\d{1,6}\s*", header) else 0.0


def _mail(
    outcome: Outcome, settings: Notifications, email: Email, identity: str, secret: Secret, timeout: float
) -> list[str]:
    """-> the recipients that were refused while others were not."""
    password = secret(email.password) if email.password else ""
    message = _message(outcome, settings, email, identity)
    try:
        with closing(_connection(email, timeout)) as server:
            if email.username:
                server.login(email.username, password)
            refused = server.send_message(message)
            with suppress(OSError):  # the message is accepted; a broken farewell must not send it twice
                server.quit()
    except smtplib.SMTPAuthenticationError as error:
        # Without the server's words: they may repeat what was sent.
        raise _Failed(
            f"log-in of {email.username} refused ({error.smtp_code}); is {email.password} the right password?",
            after=0 if error.smtp_code < 500 else None,
        ) from None
    except smtplib.SMTPServerDisconnected:
        # smtplib says the same of both.
        raise _Failed(f"the connection broke, or there was no answer within {timeout:g} s", after=0) from None
    except smtplib.SMTPRecipientsRefused as error:
        raise _Failed("; ".join(_refused(error.recipients, password)), after=_again(error.recipients)) from None
    except smtplib.SMTPResponseException as error:
        reason = f"refused: {error.smtp_code} {_words(error.smtp_error, password)}"
        raise _Failed(reason, after=0 if error.smtp_code < 500 else None) from None
    except smtplib.SMTPException:
        raise _Failed(f"the server offers no log-in with tls {email.tls}; leave username out, or mend tls") from None
    except ssl.SSLCertVerificationError as error:
        raise _Failed(f"the server's certificate is not trusted ({error.verify_message}); see ca_file") from None
    except ssl.SSLError as error:
        raise _Failed(f"TLS fails ({error.reason}); does tls {email.tls} fit port {email.port}?") from None
    except TimeoutError:
        raise _Failed(f"no answer within {timeout:g} s", after=0) from None
    except UnicodeError:
        raise _Failed("SMTP's log-in takes ASCII only, and name or password have other characters") from None
    except OSError as error:
        reason = error.strerror or "the connection broke"
        raise _Failed(f"cannot be reached ({reason})", after=0) from None
    return _refused(refused, password)


def _message(outcome: Outcome, settings: Notifications, email: Email, identity: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject(outcome, settings.subject)
    message["From"] = email.sender
    message["To"] = ", ".join(email.to)
    message["Date"] = format_datetime(dt.datetime.now(dt.UTC))
    message["Message-ID"] = identity
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer from those who are on holiday
    message.set_content(body(outcome, settings.text))
    return message


def _connection(email: Email, timeout: float) -> smtplib.SMTP:
    if email.tls == "none":
        return smtplib.SMTP(email.host, email.port, timeout=timeout)
    try:
        context = ssl.create_default_context(cafile=email.ca_file or None)
    except (OSError, ValueError):
        raise _Failed(f"ca_file {email.ca_file} is not there, or no PEM file of certificates") from None
    if email.tls == "implicit":
        return smtplib.SMTP_SSL(email.host, email.port, timeout=timeout, context=context)
    server = smtplib.SMTP(email.host, email.port, timeout=timeout)
    try:
        server.starttls(context=context)
    except smtplib.SMTPNotSupportedError:
        server.close()
        raise _Failed("the server offers no STARTTLS; is it the right port, or should tls be implicit?") from None
    except BaseException:
        server.close()
        raise
    return server


def _refused(recipients: dict[str, tuple[int, bytes]], password: str) -> list[str]:
    return [f"{name} refused: {code} {_words(reply, password)}" for name, (code, reply) in recipients.items()]


def _again(recipients: dict[str, tuple[int, bytes]]) -> float | None:
    return 0 if all(code < 500 for code, _ in recipients.values()) else None


def _words(reply: bytes | str, password: str) -> str:
    """A server's words on one line, without the password should it repeat it."""
    text = " ".join((reply.decode("ascii", "replace") if isinstance(reply, bytes) else reply).split())[:200]
    return text.replace(password, "***") if password else text
