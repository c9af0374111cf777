"""api_to_bigquery: its flags."""

from __future__ import annotations

from wharf.model.flags import Flag
from wharf.model.run_flags import ENDPOINTS, LEASE, PLAN

PIPELINE = "api_to_bigquery"

FLAGS = (
    Flag(
        name="config",
        help="the JSON file that describes the API, its endpoints and where the data goes: a path or gs://",
        example="gs://bucket/xero.json",
    ),
    Flag(
        name="endpoints",
        help="fetch these only, and those that they depend on: names separated by commas",
        example="Invoices,Contacts",
    ),
    Flag(
        name="client_name",
        help="whose data is fetched; by default CLIENT_NAME, or what the configuration says",
        example="acme",
        pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}",
    ),
    Flag(
        name="raw_mode",
        help="how new raw tables hold records: typed, in columns, or json, in one; by default as configured",
        example="json",
        pattern="typed|json",
    ),
    Flag(name="full", help="ask for everything, as if nothing had been fetched before", is_switch=True),
    Flag(
        name="force",
        help="begin anew what was left unfinished, and take over from a run that is alive",
        is_switch=True,
    ),
    LEASE,
    PLAN,
    *ENDPOINTS,
)
