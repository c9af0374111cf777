"""What notifications say."""

from __future__ import annotations

from email.message import EmailMessage

from hypothesis import given
from hypothesis import strategies as st

from wharf.model.notification import FIELDS, Outcome, body, subject

OUTCOME = Outcome(
    pipeline="bigquery_to_sftp",
    export_name="daily",
    export_id="daily-20250301-0a1b2c3d",
    status="FAILED",
    date="2025-03-01",
    rows=1_234_567,
    files=(("in/a.csv", 2048), ("in/b.csv", 10)),
    bytes=2058,
    seconds=12.34,
    destination="sftp://wharf@h:22/in",
    error="a <b> & c",
    retry_command="wharf retry --export_name daily",
)


def test_the_text_tells_all_there_is_to_know() -> None:
    assert subject(OUTCOME) == "daily 2025-03-01: FAILED"
    assert body(OUTCOME).splitlines() == [
        "daily 2025-03-01: FAILED",
        "",
        "run          bigquery_to_sftp, daily-20250301-0a1b2c3d",
        "destination  sftp://wharf@h:22/in",
        "rows         1,234,567",
        "files        2, 2.0 KiB",
        "  in/a.csv  2.0 KiB",
        "  in/b.csv  10 B",
        "duration     12.3 s",
        "",
        "error",
        "a <b> & c",
        "",
        "to send what is missing",
        "wharf retry --export_name daily",
    ]


def test_a_success_speaks_of_no_error() -> None:
    text = body(Outcome(pipeline="p", export_name="e", export_id="i", status="SUCCESS", date="d"))
    assert "error" not in text
    assert "missing" not in text


def test_a_template_may_use_every_field() -> None:
    template = "|".join(f"{{{field}}}" for field in FIELDS)
    filled = body(OUTCOME, template)
    assert "{" not in filled
    assert filled.count("|") == len(FIELDS) - 1
    assert body(OUTCOME, "{{rows}} {rows}") == "{rows} 1,234,567"


def test_a_value_with_braces_is_not_taken_for_a_template() -> None:
    odd = Outcome(pipeline="p", export_name="e", export_id="i", status="FAILED", date="d", error="{rows}")
    assert body(odd, "{error}") == "{rows}"


def test_many_files_and_a_long_error_are_cut_short() -> None:
    long = Outcome(
        pipeline="p",
        export_name="e",
        export_id="i",
        status="FAILED",
        date="d",
        files=tuple((f"{n}.csv", 1) for n in range(1_000)),
        error="x" * 100_000,
    )
    assert "and 980 more" in body(long)
    assert len(body(long)) < 4_000


@given(st.text())
def test_a_subject_is_one_printable_line_whatever_it_is_made_of(text: str) -> None:
    odd = Outcome(pipeline="p", export_name=text, export_id="i", status="FAILED", date=text)
    assert subject(odd).isprintable()
    message = EmailMessage()
    message["Subject"] = subject(odd)
    assert len(message.keys()) == 1


def test_bytes_that_were_no_text_do_not_stop_a_message() -> None:
    odd = Outcome(pipeline="p", export_name="e\udcff", export_id="i", status="FAILED", date="d", error="\udcff")
    assert (subject(odd) + body(odd)).encode()
