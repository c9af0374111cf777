"""api_to_bigquery: its flags."""

from __future__ import annotations

from dataclasses import replace

from wharf.model.flags import Flag, grouped
from wharf.model.patterns import NAME, NAMES, OBJECT
from wharf.model.run_flags import ENDPOINTS, LEASE, PLAN

PIPELINE = "api_to_bigquery"

FLAGS = (
    *grouped(
        "What to fetch",
        Flag(
            name="config",
            help="the JSON file that describes the API, its endpoints and where the data goes",
            example="gs://bucket/xero.json",
            remote=OBJECT,
            param_type="GCS_READ_FILE",
            required=True,
        ),
        Flag(
            name="endpoints",
            help="fetch these only, and those that they depend on: names separated by commas",
            example="Invoices,Contacts",
            pattern=NAMES,
        ),
        Flag(
            name="client_name",
            help="whose data is fetched; by default CLIENT_NAME, or what the configuration says",
            example="acme",
            pattern=NAME,
        ),
        Flag(
            name="raw_mode",
            help="how new raw tables hold records: typed, in columns, or json, in one; by default as configured",
            choices=("typed", "json"),
        ),
        Flag(name="full", help="ask for everything, as if nothing had been fetched before", is_switch=True),
    ),
    *grouped(
        "The run",
        Flag(
            name="force",
            help="begin anew what was left unfinished, and take over from a run that is alive",
            is_switch=True,
        ),
        replace(LEASE, help="how long a silent run keeps others from its tenants; by default 10"),
        PLAN,
        *ENDPOINTS,
    ),
)
