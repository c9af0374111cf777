"""Made-up records of an accounting system, the same every time, and the pages in which Xero and others send them."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

Record = dict[str, Any]

BEGINNING = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
# endpoint -> its key and how it is paged: page, plain (without saying how many pages there are), offset, none
XERO = {
    "Invoices": ("InvoiceID", "page"),
    "Contacts": ("ContactID", "page"),
    "BankTransactions": ("BankTransactionID", "page"),
    "CreditNotes": ("CreditNoteID", "page"),
    "Overpayments": ("OverpaymentID", "page"),
    "Payments": ("PaymentID", "page"),
    "Prepayments": ("PrepaymentID", "page"),
    "PurchaseOrders": ("PurchaseOrderID", "page"),
    "ManualJournals": ("ManualJournalID", "page"),
    "LinkedTransactions": ("LinkedTransactionID", "plain"),
    "Quotes": ("QuoteID", "plain"),
    "Journals": ("JournalID", "offset"),
    "Accounts": ("AccountID", "none"),
    "BankTransfers": ("BankTransferID", "none"),
    "BatchPayments": ("BatchPaymentID", "none"),
    "BrandingThemes": ("BrandingThemeID", "none"),
    "Budgets": ("BudgetID", "none"),
    "ContactGroups": ("ContactGroupID", "none"),
    "Currencies": ("Code", "none"),
    "Employees": ("EmployeeID", "none"),
    "Items": ("ItemID", "none"),
    "Organisation": ("OrganisationID", "none"),
    "RepeatingInvoices": ("RepeatingInvoiceID", "none"),
    "TaxRates": ("TaxType", "none"),
    "TrackingCategories": ("TrackingCategoryID", "none"),
    "Users": ("UserID", "none"),
}
_ANSWERED_AS = {"Organisation": "Organisations"}  # the key of an answer, where it is not the endpoint's name
_FEW = {
    "Organisation": 1,
    "BrandingThemes": 2,
    "TrackingCategories": 2,
    "Budgets": 3,
    "Currencies": 3,
    "Employees": 4,
    "ContactGroups": 5,
    "Users": 5,
    "TaxRates": 8,
    "RepeatingInvoices": 12,
}
_NAMED = {
    "Accounts",
    "BrandingThemes",
    "ContactGroups",
    "Contacts",
    "Employees",
    "Items",
    "Organisation",
    "TrackingCategories",
    "Users",
}
PLAIN_SIZE = 100  # records on a page where none is asked for


@dataclass(frozen=True, slots=True)
class Made:
    """A record, and what is known of it so that pages are made fast."""

    number: int  # from 1
    record: Record
    changed: dt.datetime
    line: bytes


@cache
def records(tenant: str, name: str, count: int) -> Sequence[Made]:
    """`count` records of an endpoint (fewer where an organisation has few); each changed a minute after the last."""
    key, _ = XERO.get(name, ("id", "page"))
    found = []
    for number in range(min(count, _FEW.get(name, count))):
        changed = BEGINNING + dt.timedelta(minutes=number)
        record = _record(tenant, name, key, number, changed)
        found.append(Made(number + 1, record, changed, json.dumps(record, ensure_ascii=False).encode()))
    return found


def changed(found: Sequence[Made], count: int, when: dt.datetime, **fields: Any) -> Sequence[Made]:
    """`found` with other values for `fields` in the last `count` records, which change at `when`."""
    kept = found[: len(found) - count]
    return [*kept, *(_changed(made, when, fields) for made in found[len(kept) :])]


def _changed(made: Made, when: dt.datetime, fields: dict[str, Any]) -> Made:
    record = {**made.record, **fields, "UpdatedDateUTC": _date(when)}
    return Made(made.number, record, when, json.dumps(record, ensure_ascii=False).encode())


def changed_since(found: Sequence[Made], condition: str | None) -> Sequence[Made]:
    """The records changed after an `If-Modified-Since`, which Xero takes as an HTTP date and as ISO 8601."""
    if not condition:
        return found
    try:
        since = parsedate_to_datetime(condition)
    except ValueError:
        since = dt.datetime.fromisoformat(condition)
    since = since.replace(tzinfo=since.tzinfo or dt.UTC)
    return [made for made in found if made.changed > since]


def xero_page(name: str, found: Sequence[Made], *, page: int | None, size: int | None, offset: int | None) -> bytes:
    """A body as Xero sends it: one page of `found`, or the journals behind `offset`, or everything.

    Without a `size` a page does not say how many there are.
    """
    head: dict[str, Any] = {
        "Id": str(uuid.uuid4()),
        "Status": "OK",
        "ProviderName": "Wharf",
        "DateTimeUTC": _date(dt.datetime.now(dt.UTC)),
    }
    if offset is not None:
        found = [made for made in found if made.number > offset][:PLAIN_SIZE]
    elif page is not None and size is None:
        found = found[(page - 1) * PLAIN_SIZE : page * PLAIN_SIZE]
    elif page is not None and size is not None:
        pages = -(-len(found) // size)
        head["pagination"] = {"page": page, "pageSize": size, "pageCount": pages, "itemCount": len(found)}
        found = found[(page - 1) * size : page * size]
    return json.dumps(head)[:-1].encode() + f', "{_ANSWERED_AS.get(name, name)}": '.encode() + lines(found) + b"}"


def lines(found: Sequence[Made]) -> bytes:
    """Records as a JSON array."""
    return b"[" + b",".join([made.line for made in found]) + b"]"


def _record(tenant: str, name: str, key: str, number: int, changed: dt.datetime) -> Record:
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tenant}/{name}/{number}"))
    if name not in XERO:
        return {
            "id": number + 1,
            "node_id": identity,
            "name": f"{name}-{number + 1}",
            "state": ("open", "closed")[number % 2],
            "owner": {"login": "acme", "id": 1},
            "user": {"login": f"user{number % 7}", "id": number % 7},
            "labels": [{"name": f"label{n}"} for n in range(number % 3)],
            "updated_at": changed.isoformat(),
        }
    made: Record = {key: identity if key.endswith("ID") else f"{key}{number + 1}"}
    if name == "Journals":
        made |= {"JournalNumber": number + 1, "JournalDate": _date(changed), "CreatedDateUTC": _date(changed)}
        made["JournalLines"] = [{"AccountCode": str(200 + n), "NetAmount": (number + n) / 4} for n in range(2)]
    elif name in _NAMED:
        made |= {"Name": f"{name} № {number + 1}", "Status": "ACTIVE", "EmailAddress": None}
    else:
        made |= {
            "Type": ("ACCREC", "ACCPAY")[number % 2],
            "Status": "AUTHORISED",
            "Reference": f"{name}-{number + 1:05}",
            "DateString": changed.strftime("%Y-%m-%dT00:00:00"),
            "Contact": {"ContactID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tenant}/Contacts/{number % 50}"))},
            "LineItems": [
                {"Description": f"line {n + 1}", "Quantity": n + 1, "UnitAmount": 12.5, "AccountCode": "200"}
                for n in range(number % 3 + 1)
            ],
            "Total": round(number * 1.25, 2),
            "CurrencyCode": "EUR",
        }
    return made | {"UpdatedDateUTC": _date(changed)}


def _date(when: dt.datetime) -> str:
    return f"/Date({int(when.timestamp() * 1000)}+0000)/"
