"""Where fetched records are, and the names of what is made of them."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from tests.raw_runs import raw_run
from wharf.model.fetching.layout import is_part, new_run_id, path_name, table_name, view_name


def test_a_run_is_in_a_folder_of_its_client_api_endpoint_and_day():
    run = raw_run("gs://lake/", "r1")
    assert run.folder == "gs://lake/acme/xero/Invoices/date=2025-03-23/run=r1"
    assert run.success == f"{run.folder}/_SUCCESS"


def test_tenants_of_a_run_have_folders_of_their_own():
    folders = {raw_run("/raw", tenant=tenant).folder for tenant in ("", "a", "b", "a/b", "a b", "a-b")}
    assert len(folders) == 6
    assert all(folder.count("/") == raw_run("/raw").folder.count("/") for folder in folders)


def test_what_keeps_a_run_together_is_no_part():
    run = raw_run("/raw")
    assert is_part(run.part(3, "00ab34ef"))
    assert not any(map(is_part, (run.success, run.manifest, run.checkpoint, f"{run.folder}/part-x.csv")))


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", "a b", "é", "?*#"])
def test_no_name_leads_out_of_its_place_in_a_path(name):
    assert re.fullmatch(r"[A-Za-z0-9_=-][A-Za-z0-9_.=-]*", path_name(name)) or name == ""
    assert path_name(name) not in {".", ".."}


def test_endpoints_whose_names_differ_have_tables_that_differ():
    names = ["Invoices", "bank transactions", "bank_transactions", "bank-transactions", "x" * 300, "x" * 301]
    assert table_name("Invoices") == "raw_Invoices"
    assert view_name("Invoices") == "latest_Invoices"
    assert len({table_name(name) for name in names}) == len(names)
    assert all(re.fullmatch(r"raw_[A-Za-z0-9_]{1,250}", table_name(name)) for name in names)


def test_ids_of_runs_sort_by_time():
    first = dt.datetime(2025, 3, 23, 23, 59, 59, tzinfo=dt.UTC)
    assert new_run_id(first) < new_run_id(first + dt.timedelta(seconds=1))
    assert new_run_id(first) != new_run_id(first)
