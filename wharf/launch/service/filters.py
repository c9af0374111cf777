"""What the page of runs is asked for: its query, checked, and its links."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from wharf.connectors.run_history import Position
from wharf.model.errors import UsageError
from wharf.model.flags import nearest
from wharf.model.history.runs import STATUSES, Run
from wharf.model.launching.pipelines import PIPELINES

_LONGEST_NAME = 300


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Empty or None: not filtered by it."""

    pipeline: str = ""
    name: str = ""
    status: str = ""
    day: dt.date | None = None
    after: Position | None = None

    @classmethod
    def of(cls, query: Mapping[str, str], today: dt.date) -> Filters:
        """The filters in a query; what it holds besides is somebody else's.

        Raises: UsageError that names the field.
        """
        given = {name: query.get(name, "").strip() for name in ("pipeline", "name", "status", "day", "after")}
        if len(given["name"]) > _LONGEST_NAME:
            raise UsageError(f"name: it has {len(given['name'])} characters; no run has a name of that length")
        return cls(
            pipeline=one_of(PIPELINES, given["pipeline"], "pipeline"),
            name=given["name"],
            status=one_of(STATUSES, given["status"].upper(), "status"),
            day=_day(given["day"], today),
            after=_position(given["after"]),
        )

    @property
    def is_any(self) -> bool:
        """Whether anything is filtered."""
        return bool(self.pipeline or self.name or self.status or self.day)

    def link(self, **changed: object) -> str:
        """The address of the page with other filters, from its first run on."""
        own = {"pipeline": self.pipeline, "name": self.name, "status": self.status, "day": self.day}
        query = {name: value for name, value in (own | changed).items() if value}
        return f"/?{urlencode(query)}" if query else "/"

    def older(self, last: Run) -> str:
        """The address of the page that goes on behind a run."""
        return self.link(after=f"{last.started_at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ} {last.run_id}")


def one_of(known: Collection[str], word: str, field: str) -> str:
    """`word`, if it is known, or empty.

    Raises: UsageError that names the field.
    """
    if word and word not in known:
        raise UsageError(f"{field}: {word[:40]!r} is none of {', '.join(known)}{nearest(word, known)}")
    return word


def page_number(query: Mapping[str, str]) -> int:
    """Which page of a run's files, from 1 on.

    Raises: UsageError.
    """
    text = query.get("page", "").strip() or "1"
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text):
        raise UsageError(f"page: {text[:40]!r} is not the number of a page")
    return int(text)


def _day(text: str, today: dt.date) -> dt.date | None:
    named = {"": None, "today": today, "yesterday": today - dt.timedelta(days=1)}
    if text in named:
        return named[text]
    try:
        return _within_reason(dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC)).date()
    except ValueError as error:
        raise UsageError(f"day: {text[:40]!r} is not a day with runs: write one like {today}, or yesterday") from error


def _position(text: str) -> Position | None:
    if not text:
        return None
    moment, _, run_id = text.partition(" ")
    try:
        began = dt.datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=dt.UTC)
        return Position(_within_reason(began), run_id)
    except ValueError as error:
        raise UsageError("after: no page is at this place: begin with the newest runs") from error


def _within_reason(moment: dt.datetime) -> dt.datetime:
    if not 2000 <= moment.year <= 2200:
        raise ValueError(moment)
    return moment
