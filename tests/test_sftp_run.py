"""What a run of an export is before BigQuery is asked: which exports, which date, which window, which columns."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.configs import export
from wharf.model.errors import UsageError
from wharf.model.flags import parse
from wharf.model.schema import Field, TableId
from wharf.model.sftp_run import (
    FLAGS,
    chosen,
    condition,
    date_of,
    exported_fields,
    new_export_id,
    run_date,
    temporary_table,
    window,
)

DATE = dt.date(2025, 3, 31)
SCHEMA = (
    Field(name="id", type="INT64", mode="REQUIRED"),
    Field(name="day", type="DATE"),
    Field(name="changed_at", type="TIMESTAMP"),
    Field(name="tags", type="STRING", mode="REPEATED"),
    Field(name="days", type="DATE", mode="REPEATED"),
    Field(name="ratio", type="FLOAT64"),
)


def named(*names: str, off: tuple[str, ...] = ()) -> dict:
    return {name: export(enabled=name not in off) for name in names}


def test_all_means_the_exports_that_are_switched_on_in_their_order() -> None:
    exports = named("c", "a", "b", off=("a",))
    assert chosen(exports, "all") == [exports["c"], exports["b"]]


def test_names_are_taken_once_each_in_the_order_they_are_given() -> None:
    exports = named("a", "b", "c")
    found = chosen(exports, " c, a,,c ")
    assert [id(one) for one in found] == [id(exports["c"]), id(exports["a"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--export_name is missing: name exports, or all; there are orders, off"),
        ("ordrs", "there is no export 'ordrs' (did you mean orders?); there are orders, off"),
        ("orders,off", "--export_name: off is switched off in the configuration"),
    ],
)
def test_a_name_that_names_no_export_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen(named("orders", "off", off=("off",)), text)
    assert message in str(caught.value)


def test_all_of_none_is_refused() -> None:
    with pytest.raises(UsageError, match="every export is switched off"):
        chosen(named("a", off=("a",)), "all")


def test_today_is_what_it_is_in_the_exports_time_zone() -> None:
    now = dt.datetime(2025, 3, 30, 22, 30, tzinfo=dt.UTC)
    assert run_date("", export(), now) == dt.date(2025, 3, 30)
    assert run_date("", export(time_zone="Europe/Berlin"), now) == dt.date(2025, 3, 31)
    assert run_date("", export(time_zone="America/New_York"), now.replace(hour=1)) == dt.date(2025, 3, 29)
    assert run_date("2024-02-29", export(), now) == dt.date(2024, 2, 29)


@pytest.mark.parametrize("text", ["2025-02-29", "2025-13-01", "tomorrow"])
def test_a_date_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"--date: '{text}' is not a date"):
        run_date(text, export(), dt.datetime.now(dt.UTC))


def test_a_date_range_ends_where_its_date_begins() -> None:
    found = window(export(date_column="day", days_lookback=2), DATE)
    assert found
    assert (found.start, found.end) == (dt.datetime(2025, 3, 29), dt.datetime(2025, 3, 31))


def test_the_days_of_a_window_are_those_of_the_exports_time_zone() -> None:
    found = window(export(date_column="day", time_zone="Europe/Berlin"), DATE)
    assert found
    assert found.last_instant - found.first_instant == dt.timedelta(hours=23), "clocks went forward"
    assert found.first_instant == dt.datetime(2025, 3, 29, 23, tzinfo=dt.UTC)


def test_a_full_export_is_of_its_date_and_an_incremental_one_of_no_date() -> None:
    found = window(export(), DATE)
    assert found
    assert (found.start, found.end) == (dt.datetime(2025, 3, 31), dt.datetime(2025, 4, 1))
    assert window(export(timestamp_column="changed_at"), DATE) is None


def test_ids_tell_name_and_date_and_make_names_of_tables() -> None:
    made = new_export_id(export(), DATE, "0123abcd")
    assert made == "e-20250331-0123abcd"
    assert date_of(made) == date_of("or-20240101-ders-20250331-0123abcd") == DATE
    assert temporary_table("or.d-ers-20250331-0123abcd", TableId("p", "d", "exports")) == TableId(
        "p", "d", "wharf_or_d_ers_20250331_0123abcd"
    )


def test_columns_are_exported_in_the_order_they_are_asked_for_or_else_in_the_tables() -> None:
    assert exported_fields(export(columns=["changed_at", "id"]), SCHEMA) == (SCHEMA[2], SCHEMA[0])
    assert exported_fields(export(), SCHEMA) == SCHEMA


def test_the_watermark_need_not_be_exported() -> None:
    assert exported_fields(export(timestamp_column="changed_at", columns=["id"]), SCHEMA) == (SCHEMA[0],)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"columns": ["id", "dya"]}, "columns: d.t has no column 'dya' (did you mean day?)"),
        ({"date_column": "dya"}, "date_column: d.t has no column 'dya' (did you mean day?)"),
        ({"timestamp_column": "when"}, "timestamp_column: d.t has no column 'when'"),
        ({"date_column": "id"}, "column 'id' of d.t is INT64; it must be TIMESTAMP or DATETIME or DATE"),
        ({"date_column": "days"}, "column 'days' of d.t is ARRAY<DATE>; it must be TIMESTAMP or DATETIME or DATE"),
        (
            {"timestamp_column": "ratio"},
            "column 'ratio' of d.t is FLOAT64; it must be TIMESTAMP or DATETIME or DATE or INT64 or STRING",
        ),
        ({"timestamp_column": "tags"}, "column 'tags' of d.t is ARRAY<STRING>"),
    ],
)
def test_a_column_that_cannot_do_its_work_is_refused(keys: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        exported_fields(export(**keys), SCHEMA)
    assert str(caught.value).startswith("export e: ")
    assert message in str(caught.value)


def test_a_long_query_is_cut_in_a_message() -> None:
    with pytest.raises(UsageError) as caught:
        exported_fields(export(query=f"SELECT\n  {'x, ' * 100} y FROM d.t", columns=["z"]), SCHEMA)
    assert "SELECT x, x, " in str(caught.value)
    assert "... has no column 'z'" in str(caught.value)
    assert len(str(caught.value)) < 160


def test_the_condition_joins_window_and_restriction() -> None:
    ranged = export(date_column="day", row_restriction="id > 1 OR id < -1")
    days = "(`day` >= DATE '2025-03-30' AND `day` < DATE '2025-03-31')"
    assert condition(ranged, window(ranged, DATE), SCHEMA) == f"{days} AND (id > 1 OR id < -1)"
    full = export(row_restriction="id > 1")
    assert condition(full, window(full, DATE), SCHEMA) == "(id > 1)"
    assert condition(export(), window(export(), DATE), SCHEMA) == ""


def test_the_flags_of_the_command_are_read_and_a_date_must_look_like_one() -> None:
    values, rest = parse(
        FLAGS, ["--config=c", "--export_name=a,b", "--force", "--temp_location=gs://b"], prog="p", description="d"
    )
    assert (values["config"], values["export_name"], rest) == ("c", "a,b", ["--temp_location=gs://b"])
    with pytest.raises(UsageError, match="--date"):
        parse(FLAGS, ["--config=c", "--export_name=a", "--date=today"], prog="p", description="d")
