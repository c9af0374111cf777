"""The flags that every pipeline has."""

from __future__ import annotations

from wharf.model import patterns
from wharf.model.flags import Flag

LEASE = Flag(
    name="lease_minutes",
    help="how long a silent run keeps others from its window; by default 10, on Dataflow 1440",
    example="60",
    pattern="[1-9][0-9]{0,4}",
    param_type="NUMBER",
)
PLAN = Flag(
    name="plan",
    help="show what a run would do, and write nothing",
    is_switch=True,
    in_template=False,  # a launcher that makes no job has failed
)
ENDPOINTS = (
    Flag(
        name="bigquery_endpoint",
        help="another address of BigQuery's REST API: a private endpoint or an emulator",
        example="https://bigquery-private.p.googleapis.com",
        pattern=patterns.ADDRESS,
        remote=patterns.REMOTE_ADDRESS,
        label="BigQuery endpoint",
    ),
    Flag(
        name="bigquery_storage_endpoint",
        help="another address of BigQuery's Storage API",
        example="bigquerystorage-private.p.googleapis.com:443",
        pattern=patterns.ADDRESS,
        remote=patterns.REMOTE_ADDRESS,
        label="BigQuery storage endpoint",
    ),
)
