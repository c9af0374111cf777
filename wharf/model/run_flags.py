"""The flags that every pipeline has."""

from __future__ import annotations

from wharf.model.flags import Flag

LEASE = Flag(
    name="lease_minutes",
    help="how long a silent run keeps others from its window; by default 10, on Dataflow 1440",
    example="60",
    pattern=r"[1-9]\d{0,4}",
)
PLAN = Flag(name="plan", help="show what a run would do, and write nothing", is_switch=True)
ENDPOINTS = (
    Flag(
        name="bigquery_endpoint",
        help="another address of BigQuery's REST API: a private endpoint or an emulator",
        example="https://bigquery-private.p.googleapis.com",
    ),
    Flag(
        name="bigquery_storage_endpoint",
        help="another address of BigQuery's Storage API",
        example="bigquerystorage-private.p.googleapis.com:443",
    ),
)
