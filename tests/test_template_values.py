"""What Dataflow refuses by a template's regular expressions, the pipeline refuses too, and nothing else."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import re2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wharf.connectors.endpoints import Endpoints
from wharf.model.avro_export import AvroExport
from wharf.model.errors import UsageError
from wharf.model.flags import Flag, parse
from wharf.model.launching.pipelines import PIPELINES
from wharf.model.launching.template import regexes
from wharf.model.loading.settings import LoadSettings
from wharf.model.sftp_run import chosen, run_date

# After the last year that is allowed: files that are loaded are older than that.
NOW = dt.datetime(3001, 1, 1, tzinfo=dt.UTC)
PARAMETERS = [(name, flag) for name, pipeline in PIPELINES.items() for flag in pipeline.flags if flag.in_template]


def each(parameters: list[tuple[str, Flag]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("pipeline", "flag"), parameters, ids=lambda value: getattr(value, "name", value))


ALL = each(PARAMETERS)
CHECKED = each([(name, flag) for name, flag in PARAMETERS if regexes(flag)])
FREE = each([(name, flag) for name, flag in PARAMETERS if not regexes(flag)])
GIVEN = {
    "bigquery_to_avro": {"source_table": "p-1.d.t", "output": "gs://bucket/events"},
    "files_to_bigquery": {"input": "gs://bucket/in/**"},
    "bigquery_to_sftp": {"config": "gs://bucket/exports.json", "export_name": "all"},
    "api_to_bigquery": {"config": "gs://bucket/xero.json"},
}
# Some flags are refused beside others, or without them.
BESIDES: dict[str, Callable[[str], Mapping[str, str]]] = {
    "query": lambda text: {"source_table": "p-1.d.t" if not text else "", "temp_dataset": "d"},
    "temp_dataset": lambda text: {"source_table": "", "query": "SELECT 1", "temp_dataset": text or "d"},
    "source_table": lambda text: {} if text else {"query": "SELECT 1", "temp_dataset": "d"},
    "when_read_from": lambda text: {"when_read_to": an_hour_from(text, 1)},
    "when_read_to": lambda text: {"when_read_from": an_hour_from(text, -1)},
    "subscription": lambda text: {"input": "", "prefix": "gs://bucket/in/"} if text else {},
    "input": lambda text: (
        {} if text else {"subscription": "projects/project/subscriptions/s", "prefix": "gs://bucket/in/"}
    ),
    "timestamp_regex": lambda text: {"timestamp_format": "%Y" if text else ""},
    "timestamp_format": lambda text: {"timestamp_regex": "(x)" if text else ""},
}
WORDS = [
    *["", " ", "x", "X", "-1", "0", "00", "007", "1", "1.0", "1e3", "999999999", "10000000000000000", "٣", "²"],
    *["true", "false", "True", "null", "none", "all", "tab", "\\t", "\t", "\n", "ab", "é", "€", "a,b", "a,b,c,d"],
    *["a", "a.b", "a.b.c", "a:b.c", "a:b:c", "a.b.c.d", "A.b.c", "p-1.d.t$1", "p.d.t*", "d.t 2", "d.t\u00a0", ".d.t"],
    *[
        "/tmp/x",
        "x.json",
        "s3://b/x",
        "gs:",
        "gs://",
        "gs:///x",
        "gs://b",
        "gs://b/",
        "gs://b/x",
        "gs://b/x/",
        "GS://b/x",
    ],
    *["gs://B/x", "gs://b/x y", "gs://b/x\n", "gs://*/x", "gs://b/**", "gs://b/x?", "gs:/b/x", "gs://b//x"],
    *["projects/project/subscriptions/s", "projects/p/subscriptions/s", "projects/project/topics/t"],
    *["projects//subscriptions/s", "projects/project/subscriptions/1"],
    *["2025-02-28", "2025-02-29", "2024-02-29", "1900-02-29", "2000-02-29", "2025-04-31", "2025-13-01", "20250301"],
    *["0000-01-01", "9999-12-31", "2025-03-01T24:00:00", "2025-03-01T23:59:60", "2025-03-01T00:00:00Z"],
    *["2025-03-01T00:00:00", "2025-03-01T00:00", "2025-03-01T00", "2025-03-01 00:00:00", "202503", "202500", "202513"],
    *["UTC", "Europe/Berlin", "europe/berlin", "Europe/Berlim", "Berlin", "../UTC", "Etc/GMT+1", "GMT+1", "UTC+1"],
    *["%Y", "%y%m%d", "%d", "%%Y", "%q%Y", "%", "%Y%", "%G-W%V-%u", "%G", "%Y-%V", "%-d.%m.%Y", "%s"],
    *[
        "localhost",
        "localhost:9050",
        "http://localhost:9050",
        "https://a.example",
        "a.example:443",
        "a.example:",
        "10.0.0.1",
    ],
]


class Anything(dict[str, Any]):
    """A configuration's exports: there is one of every name."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Any:
        return SimpleNamespace(enabled=True)


def an_hour_from(text: str, sign: int) -> str:
    """The other end of a window."""
    try:
        return (dt.datetime.fromisoformat(text) + dt.timedelta(hours=sign)).replace(tzinfo=None).isoformat()
    except (ValueError, OverflowError):
        return text and "2025-03-01T00:00:00"


def run(pipeline: str, values: Mapping[str, str]) -> None:
    """What the pipeline makes of its flags before it asks any service."""
    both = {name: values[f"{name}_endpoint"] or None for name in ("bigquery", "bigquery_storage")}
    Endpoints.resolve(**both, environ={})
    int(values["lease_minutes"] or 1)
    if pipeline == "bigquery_to_avro":
        AvroExport.from_flags(values, project="project", now=NOW)
    elif pipeline == "files_to_bigquery":
        LoadSettings.from_flags(values, project="project", state_table=None, now=NOW)
    elif not values["config"]:
        raise UsageError("--config is missing")
    if pipeline == "bigquery_to_sftp":
        chosen(Anything(one=SimpleNamespace(enabled=True)), values["export_name"])
        run_date(values["date"] or "2025-03-01", Any, NOW)


def pipeline_takes(pipeline: str, flag: Flag, text: str) -> bool:
    values = {each.name: "false" if each.is_switch else each.default for each in PIPELINES[pipeline].flags}
    values |= GIVEN[pipeline] | {flag.name: text} | BESIDES.get(flag.name, lambda _: {})(text)
    try:
        flag.check(text, remote=True)
        run(pipeline, values)
    except UsageError:
        return False
    return True


def template_takes(flag: Flag, text: str) -> bool:
    return all(re2.search(regex, text) for regex in regexes(flag))


def only_the_pipeline_knows(flag: Flag, text: str) -> bool:
    """Values whose mistakes no regular expression finds: what is itself a pattern, or says something twice."""
    if flag.name == "timestamp_format":
        spelt_out = text.replace("%c", "%a%b%d%H%M%S%Y").replace("%x", "%m%d%y").replace("%X", "%H%M%S")
        codes = Counter(re.findall("%[^%]", spelt_out.replace("%%", "")))
        return max(codes.values(), default=0) > 1
    return flag.name in {"destination_regex", "timestamp_regex"} or (flag.name == "input" and "[" in text)


def disagreement(pipeline: str, flag: Flag, text: str) -> str:
    """Nothing, if template and pipeline both take `text`, or both refuse it."""
    in_template = template_takes(flag, text)
    if only_the_pipeline_knows(flag, text):
        return ""
    return "" if in_template == pipeline_takes(pipeline, flag, text) else f"{text!r}: the template says {in_template}"


@ALL
def test_defaults_examples_and_choices_are_taken_by_both(pipeline: str, flag: Flag) -> None:
    for text in filter(None, [flag.default, flag.example, *flag.values]):
        assert template_takes(flag, text), text
        assert pipeline_takes(pipeline, flag, text), text


@ALL
def test_right_and_wrong_values_are_judged_alike(pipeline: str, flag: Flag) -> None:
    assert [found for text in WORDS if (found := disagreement(pipeline, flag, text))] == []


def test_the_wrong_values_are_wrong_for_somebody() -> None:
    """So that the list above is worth its lines."""
    verdicts = {text: {template_takes(flag, text) for _, flag in PARAMETERS if regexes(flag)} for text in WORDS}
    assert [text for text, verdict in verdicts.items() if False not in verdict] == []
    assert len([text for text, verdict in verdicts.items() if True in verdict]) > len(WORDS) / 2


def mutants(flag: Flag) -> st.SearchStrategy[str]:
    """Values that the template takes, and what a slip of the finger makes of them."""
    (regex,) = regexes(flag)
    right = st.from_regex(regex, fullmatch=True, alphabet=st.characters(codec="utf-8", exclude_characters="\x00"))

    @st.composite
    def slipped(draw: st.DrawFn) -> str:
        text = draw(right | st.sampled_from([flag.example or flag.default or "x", *WORDS]))
        at = draw(st.integers(0, len(text)))
        extra = draw(st.sampled_from(["", *" \t\n\r\x0b\x85\xa0\u2028٣aA09.,:;-_/\\*?[]()%$`'\"=+~@#é"]))
        return text[:at] + extra + text[at + draw(st.integers(0, 2)) :]

    return right | slipped()


@CHECKED
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_slip_of_the_finger_is_judged_differently(pipeline: str, flag: Flag, data: st.DataObject) -> None:
    text = data.draw(mutants(flag))
    assert disagreement(pipeline, flag, text) == ""


@FREE
@settings(max_examples=20, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
@example(text="x\ny")
def test_flags_without_expressions_take_any_text(pipeline: str, flag: Flag, text: str) -> None:
    if not only_the_pipeline_knows(flag, text):
        assert pipeline_takes(pipeline, flag, text)


@ALL
def test_what_can_be_reached_from_elsewhere_is_allowed_here_too(pipeline: str, flag: Flag) -> None:
    """The template says `remote` alone."""
    if flag.remote and flag.pattern:
        for text in WORDS:
            assert not re.fullmatch(flag.remote, text) or re.fullmatch(flag.pattern, text), text


@ALL
def test_expressions_mean_the_same_in_every_engine(pipeline: str, flag: Flag) -> None:
    r"""Nothing beyond POSIX's egrep, which knows no `(?:`, no `\d` and no lazy repetition, but characters by number."""
    posix = re2.Options()
    posix.posix_syntax, posix.log_errors = True, False
    for regex in regexes(flag):
        strict = re2.compile(regex, posix)
        assert strict.programsize < 5000  # RE2's limits are on what it makes of an expression
        for text in [*WORDS, *filter(None, [flag.example, flag.default, *flag.values])]:
            assert bool(strict.fullmatch(text)) == template_takes(flag, text), text


@ALL
def test_a_command_is_judged_as_a_template_is(pipeline: str, flag: Flag) -> None:
    """But for what is missing or on this machine, which the flags alone do not refuse."""
    for text in [*WORDS, flag.example]:
        if text and not flag.remote:
            assert parses(flag, text) == template_takes(flag, text), text


def parses(flag: Flag, text: str) -> bool:
    try:
        values, rest = parse((flag,), [f"--{flag.name}={text}"], prog="x", description="")
    except UsageError:
        return False
    return (values, rest) == ({flag.name: text}, [])
