"""Raw tables on the embedded stack: a run's rows replace those it had, columns grow, nothing is dropped."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from tests.raw_runs import raw_run, stage
from wharf.connectors import bigquery
from wharf.connectors.fetching.raw_tables import RawTables
from wharf.connectors.storage import open_storage
from wharf.model.errors import UsageError
from wharf.model.schema import TableId


class Place:
    """A dataset of a test's own, and runs that are loaded into it."""

    def __init__(self, stack) -> None:
        self.client = stack.endpoints.bigquery_client(stack.project)
        self.name = f"raw_{uuid.uuid4().hex[:8]}"
        self.root = f"gs://{stack.bucket}/{self.name}"
        self.storage = open_storage(self.root, stack.endpoints)
        self.project = stack.project

    def tables(self, **options) -> RawTables:
        return RawTables(self.client, self.storage, self.project, self.name, emulated=True, **options)

    def stage(self, run_id: str, *pages: list[dict], **options):
        return stage(self.storage, raw_run(self.root, run_id, **options), pages)

    def load(self, run_id: str, *pages: list[dict], key=(), times=(), typed=True, **options):
        return self.tables(typed=typed).load(self.stage(run_id, *pages, **options), key, times)

    def rows(self, name: str = "raw_Invoices", order: str = "_fetched_at, id") -> list[dict]:
        return bigquery.rows(self.client, f"SELECT * FROM `{self.project}.{self.name}.{name}` ORDER BY {order}")


@pytest.fixture
def place(stack) -> Place:
    return Place(stack)


def test_records_become_rows_of_typed_columns(place):
    record = {"id": 1, "Name": 'Zoë "😀" \\', "Total": 1.5, "Paid": True, "Lines": [{"n": 1}], "No": None, "Big": 2**63}
    loaded = place.load("r1", [record], [{"id": 2, "Name": "it's\na line"}])
    assert (str(loaded.table), loaded.rows) == (f"{place.project}.{place.name}.raw_Invoices", 2)
    assert loaded.warnings == ()
    first, second = place.rows()
    assert first == {
        "_fetched_at": dt.datetime(2025, 3, 23, 12, 0, 1, 1, tzinfo=dt.UTC),
        "_page": 1,
        "_request_id": "request-1",
        "_run_id": "r1",
        "_tenant": "",
        "id": 1,
        "Name": 'Zoë "😀" \\',
        "Total": 1.5,
        "Paid": True,
        "Lines": [{"n": 1}],
        "Big": Decimal(2**63),
    }
    assert (second["Name"], second["Total"], second["_page"]) == ("it's\na line", None, 2)


def test_the_table_is_partitioned_by_the_day_of_the_fetch_and_says_what_its_columns_are(place):
    place.load("r1", [{"id": 1, "a b": 2}])
    found = place.client.get_table(f"{place.project}.{place.name}.raw_Invoices")
    assert (found.time_partitioning.field, found.time_partitioning.type_) == ("_fetched_at", "DAY")
    assert found.clustering_fields == ["_tenant", "_run_id"]
    assert {field.name: field.description for field in found.schema}["a_b"] == 'The field "a b"'


def test_loading_a_run_again_replaces_its_rows_and_no_others(place):
    place.load("r1", [{"id": 1}, {"id": 2}])
    place.load("r2", [{"id": 3}])
    manifest = place.stage("r1b", [{"id": 4}])
    for _ in range(2):
        assert place.tables().load(manifest).rows == 1
    assert sorted((row["_run_id"], row["id"]) for row in place.rows()) == [("r1", 1), ("r1", 2), ("r1b", 4), ("r2", 3)]


def test_each_tenant_of_a_run_has_rows_of_its_own(place):
    for _ in range(2):
        place.load("r1", [{"id": 1}], tenant="north")
        place.load("r1", [{"id": 1}], tenant="it's south")
    assert sorted(row["_tenant"] for row in place.rows()) == ["it's south", "north"]


def test_tenants_that_are_loaded_side_by_side_make_one_table_together(place):
    runs = [place.stage("r1", [{"id": number, f"only_{number}": 1}], tenant=f"t{number}") for number in range(4)]
    tables = place.tables()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tables.load, runs))
    rows = place.rows(order="id")
    assert [row["id"] for row in rows] == [0, 1, 2, 3]
    assert all(row[f"only_{row['id']}"] == 1 for row in rows)


def test_new_fields_become_columns_and_changed_types_go_beside_theirs(place):
    place.load("r1", [{"id": 1, "ref": True}])
    loaded = place.load("r2", [{"id": 2, "ref": "7", "new": "x"}, {"id": 3, "ref": 7.25}, {"id": 4, "ref": [1]}])
    assert set(loaded.added) == {"new", "ref_json"}
    assert loaded.warnings == ("ref is BOOL and came as number, object or array, text too: see column ref_json",)
    found = {row["id"]: (row["ref"], row["ref_json"], row["new"]) for row in place.rows()}
    assert found == {
        1: (True, None, None),
        2: (None, "7", "x"),
        3: (None, 7.25, None),
        4: (None, [1], None),
    }
    assert place.load("r3", [{"id": 5, "ref": "8"}]).added == ()


def test_integers_get_room_for_decimals_and_for_longer_ones(place):
    key = ["$.id"]
    place.load("r1", [{"id": 1, "price": 10**15 - 1, "count": 2**63 - 1}, {"id": 2, "price": None}], key=key)
    loaded = place.load("r2", [{"id": 3, "price": 0.5, "count": 10**20}, {"id": 4, "price": "none"}], key=key)
    assert loaded.added == ("price_json",)
    assert loaded.warnings == (
        "price was INT64 and is FLOAT64 from now on",
        "count was INT64 and is NUMERIC from now on",
        "price is FLOAT64 and came as text too: see column price_json",
    )
    found = {row["id"]: (row["price"], row["count"]) for row in latest(place)}
    assert found == {1: (10**15 - 1, 2**63 - 1), 2: (None, None), 3: (0.5, 10**20), 4: (None, None)}
    assert place.load("r3", [{"id": 5, "price": 7, "count": 8}]).warnings == ()


def test_integers_that_would_be_rounded_keep_their_type(place):
    place.load("r1", [{"id": 1, "price": 2**53 + 1, "code": 7}])
    loaded = place.load("r2", [{"id": 2, "price": 0.5, "code": 7.5}])
    assert loaded.added == ("price_json",)
    assert loaded.warnings[0] == "code was INT64 and is FLOAT64 from now on"
    found = {row["id"]: (row["price"], row["price_json"], row["code"]) for row in place.rows()}
    assert found == {1: (2**53 + 1, None, 7), 2: (None, 0.5, 7.5)}


def test_fields_that_are_declared_to_be_times_become_timestamps(place):
    when = [
        "2025-03-23T10:00:00Z",
        "2025-03-23",
        "/Date(1742724000000+0000)/",
        "/Date(1742724000000)/",
        "soon",
        5,
        None,
    ]
    loaded = place.load("r1", [{"id": each, "at": value} for each, value in enumerate(when)], times=["at", "never"])
    assert set(loaded.added) >= {"at", "at_json"}
    assert loaded.warnings == ("at is TIMESTAMP and came as integer, text too: see column at_json",)
    ten = dt.datetime(2025, 3, 23, 10, tzinfo=dt.UTC)
    midnight = ten.replace(hour=0)
    found = [(row["at"], row["at_json"]) for row in place.rows(order="id")]
    assert found == [(ten, None), (midnight, None), (ten, None), (ten, None), (None, "soon"), (None, 5), (None, None)]


def test_every_kind_of_value_is_kept_whatever_the_columns_type_was(place):
    values = [1, 2**53 + 1, 2**70, 10**32, 10**50, -1.5, 1e300, True, "", "12", "true", "null", {"a": [None]}, [], None]
    for number, first in enumerate([5, 2**64, 10**30, 0.5, False, "text", {"o": 1}, "2025-03-23"]):
        name = f"kinds{number}"
        declared = ["x"] if number == 7 else []
        place.load("r1", [{"id": -1, "x": first}], endpoint=name, times=declared)
        place.load("r2", [{"id": each, "x": value} for each, value in enumerate(values)], endpoint=name, times=declared)
        table = f"`{place.project}.{place.name}.raw_{name}`"
        names = [field.name for field in place.client.get_table(table.strip("`")).schema]
        rest = "TO_JSON_STRING(x_json)" if "x_json" in names else "NULL"
        rows = bigquery.rows(
            place.client, f"SELECT id, TO_JSON_STRING(x) AS x, {rest} AS rest FROM {table} WHERE _run_id = 'r2'"
        )
        for row in rows:
            texts = [text for text in (row["x"], row["rest"]) if text not in (None, "null")]
            kept = [
                json.loads(text, parse_float=Decimal if type(values[row["id"]]) is int else float) for text in texts
            ]
            wanted = values[row["id"]]
            assert kept == ([] if wanted is None else [wanted]), (first, row)
        assert len(rows) == len(values)


def test_keys_of_any_kind_find_their_columns(place):
    record = {"id": 1, "a.b": 2, "a b": 3, "it's": 4, 'say "x"': 5, "back\\slash": 6, "é": 7, "$": 8, "Id": 9}
    place.load("r1", [record])
    (row,) = place.rows()
    assert sorted(value for value in row.values() if isinstance(value, int)) == [1, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_run_without_records_makes_the_table_and_takes_its_rows_out(place):
    assert place.load("r1").rows == 0
    assert place.rows(order="_page") == []
    place.load("r2", [{"id": 1}])
    place.tables().load(stage(place.storage, raw_run(f"{place.root}/again", "r2"), []))
    assert place.rows() == []


def test_json_mode_keeps_each_record_in_one_column(place):
    record = {"id": 1, "deep": {"a": [{"b": None}]}, "big": 10**30, "ID": 2}
    place.load("r1", [record], typed=False)
    (row,) = place.rows(order="_page")
    assert set(row) == {"_fetched_at", "_page", "_request_id", "_run_id", "_tenant", "_record"}
    assert record.items() <= row["_record"].items()
    assert place.load("r2", [{"id": "other"}], typed=False).added == ()


def test_a_table_can_change_its_mode(place):
    place.load("r1", [{"id": 1}], typed=False, key=["$.id"])
    place.load("r2", [{"id": 2}])
    place.load("r3", [{"id": 3}], typed=False)
    rows = place.rows(order="_run_id")
    assert [(row["id"], bool(row["_record"])) for row in rows] == [(None, True), (2, False), (None, True)]


def latest(place, order="id") -> list[dict]:
    return place.rows("latest_Invoices", order)


def test_the_view_has_the_newest_row_of_each_key_and_tenant(place):
    key = ["$.id"]
    place.load("r1", [{"id": 1, "v": "old"}, {"id": 2, "v": "kept"}], key=key)
    place.load("r2", [], [{"id": 1, "v": "new"}], key=key)
    place.load("r2", [{"id": 1, "v": "other"}], key=key, tenant="t")
    found = sorted((row["_tenant"], row["id"], row["v"]) for row in latest(place))
    assert found == [("", 1, "new"), ("", 2, "kept"), ("t", 1, "other")]


def test_the_view_grows_with_its_table(place):
    place.load("r1", [{"id": 1}], key=["$.id"])
    assert "more" not in latest(place)[0]
    place.load("r2", [{"id": 2, "more": "x"}], key=["$.id"])
    assert [row["more"] for row in latest(place)] == [None, "x"]


def test_a_key_may_be_of_several_parts_deep_and_of_changing_type(place):
    place.load("r1", [{"id": 1, "of": {"x": "a"}, "v": 1}, {"id": 1, "of": {"x": "b"}, "v": 2}], key=["id", "$.of.x"])
    place.load(
        "r2", [], [{"id": "1", "of": {"x": "a"}, "v": 3}, {"id": 1, "of": {"x": "b"}, "v": 4}], key=["id", "$.of['x']"]
    )
    assert sorted(row["v"] for row in latest(place)) == [1, 3, 4]


def test_the_view_of_json_records_goes_by_the_same_keys(place):
    place.load("r1", [{"id": 1, "v": "old"}, {"id": 2, "v": "b"}], key=["$.id"], typed=False)
    place.load("r2", [], [{"id": 1, "v": "new"}], key=["$.id"], typed=False)
    assert sorted(row["_record"]["v"] for row in latest(place, "_page")) == ["b", "new"]


def test_a_key_that_is_no_path_is_refused(place):
    with pytest.raises(UsageError, match=r"write \$\.InvoiceID"):
        place.load("r1", [{"id": 1}], key=["$..id"])


def test_a_load_job_takes_each_line_as_it_is(place):
    """The emulator takes the first line for a header, so it is left out here."""
    from wharf.connectors.fetching import raw_tables

    texts = ['plain, "quoted"', "tab\there", "back\\slash \\n", "é😀", ""]
    manifest = place.stage("r1", [{"id": 0}], [{"id": 1 + number, "t": text} for number, text in enumerate(texts)])
    place.tables()._ensure_dataset()
    table = TableId(place.project, place.name, "lines")
    loaded = raw_tables.Jobs(place.client, 1).load("lines", manifest.uris, table, raw_tables._LINES, "US")
    assert loaded.rows == len(texts)
    lines = [row["line"] for row in bigquery.rows(place.client, f"SELECT line FROM `{table}`")]
    assert sorted(json.loads(line)["t"] for line in lines) == sorted(texts)
