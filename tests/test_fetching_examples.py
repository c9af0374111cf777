"""The examples of APIs: complete, and paged as those document it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from wharf.model.errors import UsageError
from wharf.model.fetching.api import Incremental, Paging
from wharf.model.fetching.config import ApiConfig, check_remote_secrets, load_api, select
from wharf.model.fetching.requests import first_request
from wharf.model.secrets import SecretRef

URI = "/etc/wharf/api.json"
EXAMPLES = Path(__file__).parent.parent / "examples" / "api_to_bigquery"
# GET parameters and headers by Xero's own description of its API (XeroAPI/Xero-OpenAPI, xero_accounting.yaml 16.1.0).
PAGED = [
    "BankTransactions",
    "Contacts",
    "CreditNotes",
    "Invoices",
    "ManualJournals",
    "Overpayments",
    "Payments",
    "Prepayments",
    "PurchaseOrders",
]
PAGED_WITHOUT_SIZE = ["LinkedTransactions", "Quotes"]
NOT_PAGED = [
    "Accounts",
    "BankTransfers",
    "BatchPayments",
    "BrandingThemes",
    "Budgets",
    "ContactGroups",
    "Currencies",
    "Items",
    "Organisation",
    "RepeatingInvoices",
    "TaxRates",
    "TrackingCategories",
    "Users",
]
ALWAYS_WHOLE = [
    "BrandingThemes",
    "Budgets",
    "ContactGroups",
    "Currencies",
    "LinkedTransactions",
    "Organisation",
    "RepeatingInvoices",
    "TaxRates",
    "TrackingCategories",
]


def example(name: str) -> ApiConfig:
    return load_api((EXAMPLES / name).read_text(), uri=URI, client_name="acme")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.name)
def test_every_example_loads_without_a_warning(path: Path) -> None:
    config = example(path.name)
    assert config.warnings == ()
    assert config.dataset == f"acme_{config.api.name}"
    assert pickle.loads(pickle.dumps(config)) == config


def test_the_xero_example_has_each_endpoint_paged_as_xero_documents_it() -> None:
    endpoints = {endpoint.name: endpoint for endpoint in example("xero.json").api.endpoints}
    assert sorted(endpoints) == sorted([*PAGED, *PAGED_WITHOUT_SIZE, *NOT_PAGED, "Journals"])
    assert [name for name, each in endpoints.items() if each.paging.size_param == "pageSize"] == PAGED
    assert {endpoints[name].paging for name in PAGED_WITHOUT_SIZE} == {Paging(kind="page", param="page", size=100)}
    assert {endpoints[name].paging for name in NOT_PAGED} == {Paging()}
    assert endpoints["Journals"].paging == Paging(kind="offset", param="offset", offset_from="$.JournalNumber")
    assert [name for name, each in endpoints.items() if not each.incremental] == ALWAYS_WHOLE
    assert all(len(each.primary_key) == 1 for each in endpoints.values())
    named = {name: each.records for name, each in endpoints.items() if each.records != f"$.{name}[*]"}
    assert named == {"Organisation": "$.Organisations[*]"}


def test_the_xero_example_is_switched_on_for_employees_where_they_are() -> None:
    text = (EXAMPLES / "xero.json").read_text().replace('"enabled": false', '"enabled": true')
    api = load_api(text, uri=URI, variables={"CLIENT_NAME": "globex"}).api
    (employees,) = select(api, ["Employees"]).endpoints
    assert employees.incremental == Incremental(header="If-Modified-Since", lookback_seconds=600)
    assert api.tenants == ("70784a63-d24b-46a9-a4db-0e70a274b056",)
    assert api.auth.token == SecretRef("projects/my-project/secrets/globex-xero-refresh-token")


def test_a_xero_request_is_what_xero_understands() -> None:
    api = example("xero.json").api
    (invoices,) = select(api, ["Invoices"]).endpoints
    request = first_request(api, invoices, tenant=api.tenants[0], cursor="2026-03-01T00:10:00.5+00:00")
    assert request.full_url == (
        "https://api.xero.com/api.xro/2.0/Invoices"
        "?order=InvoiceID%20ASC&includeArchived=true&unitdp=4&pageSize=1000&page=1"
    )
    assert dict(request.headers) == {
        "Accept": "application/json",
        "xero-tenant-id": "45e4708e-d862-4111-ab3a-dd8cd03913e1",
        "If-Modified-Since": "2026-03-01T00:00:00",
    }


def test_a_child_brings_its_parents_along() -> None:
    api = example("github.json").api
    assert [each.name for each in select(api, ["releases"]).endpoints] == ["repositories", "releases"]
    assert select(api, []) == api
    with pytest.raises(UsageError, match=r"--endpoints: github has no endpoint 'isues' \(did you mean issues\?\)"):
        select(api, ["isues"])


def test_workers_on_other_machines_can_read_the_secrets_of_the_xero_example() -> None:
    check_remote_secrets(example("xero.json"))
