"""Small bar charts: how many rows, and how long, run by run or day by day. Values in, shapes out; a template draws."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from wharf.launch.service.wording import duration, moment, rounded
from wharf.model.history.runs import BROKEN, DayTotal, Run
from wharf.model.report import counted

WIDTH, HEIGHT = 310, 60  # of the bars, in a drawing's own units; a browser stretches it
_GAP = 0.25  # of the room that a bar has
_LEAST = 1.5  # height of a bar that is not nothing


@dataclass(frozen=True)
class Bar:
    """One bar; `x`, `y`, `width` and `height` place it, `is_broken` gets it a mark below the line."""

    label: str
    x: float
    width: float
    height: float
    is_broken: bool

    @property
    def y(self) -> float:
        return HEIGHT - self.height


@dataclass(frozen=True)
class Plot:
    """One chart. `description` says in words what is to be seen."""

    key: str  # unique on its page
    title: str
    most: str
    first: str
    last: str
    description: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Plotted:
    """Charts of one pipeline or name; `marks` says what a mark below the line stands for."""

    heading: str
    plots: tuple[Plot, ...]
    marks: str


@dataclass(frozen=True)
class _Point:
    label: str
    rows: float
    seconds: float
    is_broken: bool


def by_day(totals: Iterable[DayTotal], first: dt.date, last: dt.date) -> list[Plotted]:
    """A pair of charts for each pipeline that has runs: rows of a day, and its longest run."""
    by_pipeline: dict[str, dict[dt.date, list[DayTotal]]] = {}
    for total in totals:
        by_pipeline.setdefault(total.pipeline, {}).setdefault(total.day, []).append(total)
    days = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    made = []
    for pipeline, found in sorted(by_pipeline.items()):
        points = [
            _Point(
                label=str(day),
                rows=sum(total.rows for total in found.get(day, ())),
                seconds=max((total.seconds or 0 for total in found.get(day, ())), default=0),
                is_broken=any(total.status in BROKEN for total in found.get(day, ())),
            )
            for day in days
        ]
        titles = ("Rows a day", "Longest run of a day")
        made.append(Plotted(pipeline, _pair(pipeline, titles, points, "day"), "days with a failed or silent run"))
    return made


def by_run(heading: str, newest_first: Sequence[Run]) -> Plotted | None:
    """A pair of charts: rows and duration of each run, in their order; None without runs."""
    points = [
        _Point(moment(run.started_at), run.rows or 0, run.seconds or 0, run.status in BROKEN)
        for run in reversed(newest_first)
    ]
    if not points:
        return None
    return Plotted(
        heading, _pair("runs", ("Rows of a run", "Duration of a run"), points, "run"), "failed or silent runs"
    )


def _pair(key: str, titles: tuple[str, str], points: Sequence[_Point], noun: str) -> tuple[Plot, ...]:
    rows, took = titles
    return (
        _plot(f"{key}-rows", rows, points, [point.rows for point in points], rounded, noun),
        _plot(f"{key}-took", took, points, [point.seconds for point in points], duration, noun),
    )


def _plot(
    key: str,
    title: str,
    points: Sequence[_Point],
    values: Sequence[float],
    shown: Callable[[float], str],
    noun: str,
) -> Plot:
    most = max(values)
    room = WIDTH / len(points)
    bars = tuple(
        Bar(
            label=f"{point.label}: {shown(value)}",
            x=round(at * room + room * _GAP / 2, 2),
            width=round(room * (1 - _GAP), 2),
            height=round(max(value / most * HEIGHT, _LEAST), 2) if value > 0 else 0,
            is_broken=point.is_broken,
        )
        for at, (point, value) in enumerate(zip(points, values, strict=True))
    )
    broken = [point.label for point in points if point.is_broken]
    sentences = [
        f"{counted(len(points), noun)}, from {points[0].label} to {points[-1].label}.",
        f"The most is {shown(most)}, on {points[list(values).index(most)].label}." if most else "All are nothing.",
        f"The last is {shown(values[-1])}.",
        f"Failed or silent: {', '.join(broken[-10:])}." if broken else "None failed.",
    ]
    return Plot(key, title, shown(most), points[0].label, points[-1].label, " ".join(sentences), bars)
