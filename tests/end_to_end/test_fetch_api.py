"""What a run of api_to_bigquery brings: every way of paging, tenants, parents and children, files, tables, rows."""

from __future__ import annotations

import json

import pytest

from tests.end_to_end.fetches import (
    ACCOUNTS,
    AUDIT,
    CUSTOMERS,
    EVENTS,
    INVOICES,
    ISSUES,
    JOURNALS,
    ORDERS,
    ORDERS_IN_TURN,
    PRODUCTS,
    REPOS,
    SINCE,
    Fetches,
)
from tests.servers.webhook import Webhook

EVERYTHING = {
    "orders": ORDERS,
    "orders_in_turn": ORDERS_IN_TURN,
    "customers": CUSTOMERS,
    "events": EVENTS,
    "audit": AUDIT,
    "products": PRODUCTS,
    "repos": REPOS,
}
IDS = list(range(1, 251))


def test_every_way_of_paging_brings_each_record_once(fetches: Fetches) -> None:
    fetches.declare(**EVERYTHING)
    ended = fetches.run()
    assert ended.code == 0, ended.err
    assert fetches.statuses() == dict.fromkeys(EVERYTHING, "SUCCESS")
    for endpoint in EVERYTHING:
        assert fetches.ids(endpoint) == IDS, endpoint
    pages = {"orders": 13, "orders_in_turn": 13, "customers": 7, "events": 9, "audit": 9, "products": 3, "repos": 9}
    found = {name: (row["pages"], row["records"], row["requests"]) for name, row in fetches.newest().items()}
    assert found == {name: (count, 250, count) for name, count in pages.items()}
    for name, row in fetches.newest().items():
        assert (row["error_message"], row["retries"], row["cursor_after"]) == (None, 0, None), name
        assert row["bytes"] > 10_000
        assert row["completed_at"] > row["started_at"]
        assert row["table_name"] == f"{fetches.project}.{fetches.dataset}.raw_{name}"


def test_what_a_run_leaves_in_the_bucket(fetches: Fetches) -> None:
    fetches.declare(orders=ORDERS)
    assert fetches.run().code == 0
    (row,) = fetches.rows()
    folder = f"acme/shop/orders/date={row['started_at']:%Y-%m-%d}/run={row['run_id']}"
    assert row["raw_uri"] == f"gs://{fetches.bucket.name}/{fetches.dataset}/{folder}"
    files = fetches.files()
    part, manifest, success = sorted(files)[2], f"{folder}/_manifest.json", f"{folder}/_SUCCESS"
    assert sorted(files) == sorted([manifest, success, part])
    (counted,) = json.loads(files[manifest])["parts"]
    assert (f"{folder}/{counted['name']}", counted["bytes"]) == (part, len(files[part]))
    assert json.loads(files[success]) == {"run_id": row["run_id"], "records": 250}
    written = {name: fetches.bucket.get_blob(f"{fetches.dataset}/{name}").updated for name in files}
    assert max(written, key=lambda name: written[name]) == success
    lines = fetches.lines("orders")
    assert [line["id"] for line in lines] == IDS
    assert [line["_page"] for line in lines] == [number // 20 + 1 for number in range(250)]
    assert {(line["_run_id"], line["_tenant"]) for line in lines} == {(row["run_id"], "")}
    assert len({line["_request_id"] for line in lines}) == 13
    assert list(lines[0])[:5] == ["_fetched_at", "_page", "_request_id", "_run_id", "_tenant"]


def test_the_raw_table_is_partitioned_by_day_and_a_view_shows_the_latest_rows(fetches: Fetches) -> None:
    fetches.declare(orders=ORDERS)
    assert fetches.run().code == 0
    table = fetches.client.get_table(f"{fetches.dataset}.raw_orders", retry=None)
    assert (table.time_partitioning.field, table.time_partitioning.type_) == ("_fetched_at", "DAY")
    types = {field.name: field.field_type for field in table.schema}
    assert (types["id"], types["name"], types["user"], types["_fetched_at"]) == (
        "INT64",
        "STRING",
        "JSON",
        "TIMESTAMP",
    )
    assert fetches.run().code == 0
    assert fetches.ids("orders") == sorted(IDS * 2), "a raw table keeps each run's rows"
    latest = fetches.sql(f"SELECT id, _run_id FROM `{fetches.dataset}.latest_orders` ORDER BY id")
    assert [row["id"] for row in latest] == IDS
    assert {row["_run_id"] for row in latest} == {fetches.rows()[-1]["run_id"]}


def test_raw_mode_json_keeps_whole_records_in_one_column(fetches: Fetches) -> None:
    fetches.declare(orders=ORDERS)
    assert fetches.run("--raw_mode=json").code == 0
    fields = [field.name for field in fetches.client.get_table(f"{fetches.dataset}.raw_orders", retry=None).schema]
    assert fields == ["_fetched_at", "_page", "_request_id", "_run_id", "_tenant", "_record"]
    found = fetches.raw("orders", "CAST(JSON_VALUE(_record, '$.id') AS INT64) AS id, _page")
    assert [row["id"] for row in found] == IDS
    refused = fetches.run("--raw_mode=avro")
    assert refused.code == 2
    assert "--raw_mode" in refused.err


def test_tenants_of_an_app_share_its_token_and_keep_their_rows_apart(fetches: Fetches) -> None:
    fetches.api.tenants = ("north", "south")
    fetches.like_xero("north", "south", Invoices=INVOICES, Journals=JOURNALS, Accounts=ACCOUNTS)
    ended = fetches.run()
    assert ended.code == 0, ended.err
    assert set(fetches.statuses().values()) == {"SUCCESS"}
    assert len(fetches.statuses()) == 6
    for endpoint, key in (("Invoices", "InvoiceID"), ("Journals", "JournalID"), ("Accounts", "AccountID")):
        found = fetches.sql(
            f"SELECT _tenant, COUNT(*) AS n, COUNT(DISTINCT {key}) AS keys "
            f"FROM `{fetches.dataset}.raw_{endpoint}` GROUP BY 1 ORDER BY 1"
        )
        assert found == [{"_tenant": tenant, "n": 250, "keys": 250} for tenant in ("north", "south")]
    assert fetches.api.login.granted["refresh_token"] == 1
    assert fetches.token_file.read_text().strip() == fetches.api.login.refresh_token
    assert fetches.run("--endpoints=Accounts").code == 0, "with the token that the first run has left"


def test_children_are_fetched_for_each_record_of_their_parent(fetches: Fetches) -> None:
    fetches.api.records = 12
    fetches.declare(issues=ISSUES, repos=REPOS)
    ended = fetches.run()
    assert ended.code == 0, ended.err
    assert fetches.ids("repos") == list(range(1, 13))
    assert fetches.ids("issues") == sorted(list(range(1, 13)) * 12)
    assert fetches.newest()["issues"]["requests"] == 12
    only = fetches.run("--endpoints=issues")
    assert only.code == 0
    assert len(fetches.rows()) == 4, "with the parent, without which there would be nothing to ask for"


def test_only_what_is_new_is_asked_for_from_the_cursor_that_was_committed(fetches: Fetches) -> None:
    fetches.declare(orders=ORDERS | SINCE, customers=CUSTOMERS)
    assert fetches.run().code == 0
    assert fetches.newest()["orders"]["cursor_after"].startswith("2025-01-01T04:09:00")
    fetches.api.records = 260
    second = fetches.run("--endpoints=orders")
    assert second.code == 0
    row = fetches.newest()["orders"]
    assert (row["records"], row["cursor_before"][:19]) == (10, "2025-01-01T04:09:00")
    assert sorted(fetches.ids("orders")) == list(range(1, 261))
    assert fetches.newest()["customers"]["run_id"] != row["run_id"], "--endpoints leaves the others alone"
    assert fetches.run("--endpoints=orders").code == 0
    row = fetches.newest()["orders"]
    assert (row["records"], row["cursor_after"][:19]) == (0, "2025-01-01T04:19:00"), "nothing new moves no cursor"
    assert fetches.run("--endpoints=orders", "--full").code == 0
    assert fetches.newest()["orders"]["records"] == 260


def test_if_modified_since_begins_where_the_last_run_began(fetches: Fetches) -> None:
    fetches.api.tenants = ("north",)
    since = {"incremental": {"header": "If-Modified-Since", "format": "http", "lookback_seconds": 60}}
    fetches.like_xero("north", Invoices=INVOICES | since)
    assert fetches.run().code == 0
    first = fetches.newest()["Invoices/north"]
    assert first["cursor_after"] == first["started_at"].isoformat()
    assert fetches.run().code == 0
    second = fetches.newest()["Invoices/north"]
    assert (second["records"], second["cursor_before"]) == (0, first["cursor_after"])


def test_client_name_says_whose_data_it_is(fetches: Fetches) -> None:
    fetches.declare(repos=REPOS | {"path": "orgs/{client_name}/repos"})
    fetches.keys |= {"clients": {"north": {}, "south": {}}, "client_name": "north"}
    assert fetches.run("--client_name=south").code == 0
    assert fetches.rows()[0]["client_name"] == "south"
    assert all(path.startswith("south/shop/repos/") for path in fetches.files())
    assert {path.split("?")[0] for path in fetches.api.asked()} == {"/orgs/south/repos"}
    unknown = fetches.run("--client_name=soth")
    assert unknown.code == 2
    assert "did you mean south" in unknown.err


def test_a_plan_shows_what_would_be_fetched_and_writes_nothing(fetches: Fetches) -> None:
    fetches.declare(orders=ORDERS | SINCE, customers=CUSTOMERS)
    plan = fetches.run("--plan")
    assert plan.code == 0, plan.err
    assert [line.split(" -> ")[0] for line in plan.out.splitlines()] == ["orders: everything", "customers: everything"]
    assert fetches.dataset not in {each.dataset_id for each in fetches.client.list_datasets(retry=None)}
    assert fetches.files() == {}
    assert fetches.api.asked() == []
    assert fetches.run("--endpoints=orders").code == 0
    before = fetches.rows()
    assert "orders: since 2025-01-01T04:09:00" in fetches.run("--plan").out
    assert fetches.rows() == before


@pytest.mark.parametrize(
    ("words", "keys", "text"),
    [
        (["--endpoints=ordres"], {}, "(did you mean orders?)"),
        (["--unknown=1"], {}, "unknown flag --unknown"),
        ([], {"base_url": "shop.example"}, "base_url"),
        ([], {"endpoints": {"orders": ORDERS | {"records": "$.orders["}}}, "endpoints.orders.records"),
        ([], {"auth": {"kind": "bearer", "password": "env:NO_SUCH_VARIABLE"}}, "NO_SUCH_VARIABLE"),
    ],
)
def test_a_mistake_ends_with_exit_code_2_before_anything_is_asked(
    fetches: Fetches, words: list[str], keys: dict, text: str
) -> None:
    fetches.declare(orders=ORDERS)
    fetches.keys |= keys
    ended = fetches.run(*words)
    assert ended.code == 2, ended.err + ended.out
    assert text in ended.err
    assert "Traceback" not in ended.err
    assert fetches.api.asked() == []


def test_people_are_told_how_a_run_ended(fetches: Fetches) -> None:
    fetches.declare(orders=ORDERS, gone=ORDERS | {"path": "v9/gone"})
    with Webhook() as slack:
        fetches.keys |= {"notifications": {"slack": {"webhook": slack.url}}}
        assert fetches.run("--endpoints=orders").code == 0
        assert fetches.run("--endpoints=orders,gone", "--full", "--raw_mode=typed").code == 1
    success, failure = (post[1]["text"] for post in slack.posts)
    assert "shop of acme" in success
    assert "250" in success
    assert "status 404" in failure
    words = f"--config {fetches.config()} --endpoints orders,gone --client_name acme --raw_mode typed --full true"
    assert f"wharf run api_to_bigquery {words}" in failure
