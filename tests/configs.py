"""Configurations to test with: both ways of writing one, and short ways to make one and to get its mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wharf.model.config import SftpConfig, load
from wharf.model.json_document import DocumentError
from wharf.model.sftp_export import SftpExport

URI = "/etc/wharf/exports.json"
BY_NAME = """
{
  "sftp": {"host": "sftp.example.com", "port": 2222, "username": "wharf", "password": "hunter2", "directory": "/in"},
  "gcs": {"bucket": "my-bucket"},
  "metadata": {"export_metadata_table": "my-project.meta.exports"},
  "exports": {
    "daily": {
      "source_table": "my-project.shop.orders",
      "compress": true,
      "export_type": "date_range",
      "date_column": "order_date",
      "days_lookback": 3
    },
    "all_of_it": {
      "source_table": "my-project.shop.customers",
      "compress": false,
      "export_type": "full",
      "date_column": "created",
      "days_lookback": 1
    }
  }
}
"""
AS_LIST = """
{
  "exports": [
    {
      "name": "events",
      "source_table": "shop.events",
      "destination_filename": "X_{datetime}.csv",
      "timestamp_column": "received_at",
      "incremental": true,
      "columns": ["id", "received_at"]
    }
  ],
  "sftp": {"path": "/upload", "port": 22},
  "metadata_table": "project.dataset.export_metadata"
}
"""
VARIABLES = {"SFTP_HOST": "h.example", "SFTP_USERNAME": "u", "SFTP_PASSWORD": "hunter2", "GCS_BUCKET": "env-bucket"}
SERVER = {"host": "h", "username": "u", "password": "env:P"}


def document(**changes: Any) -> dict[str, Any]:
    """A valid configuration with one export `e`, and `changes` at its top."""
    whole = {"sftp": SERVER, "staging": "/tmp/staged", "exports": {"e": {"source_table": "d.t"}}}
    return {**whole, **changes}


def loaded(**changes: Any) -> SftpConfig:
    return load(json.dumps(document(**changes)), uri=URI)


def export(**keys: Any) -> SftpExport:
    """The export `e` with `keys`, which stand beside its table if they name no query."""
    source = {} if "query" in keys else {"source_table": "d.t"}
    return loaded(exports={"e": {**source, **keys}}).exports["e"]


def mistakes(text: str | None = None, variables: dict[str, str] | None = None, **changes: Any) -> dict[str, str]:
    """What is wrong, by path."""
    with pytest.raises(DocumentError) as caught:
        load(json.dumps(document(**changes)) if text is None else text, uri=URI, variables=variables)
    return dict(caught.value.mistakes)


def of_export(**keys: Any) -> dict[str, str]:
    source = {} if "query" in keys else {"source_table": "d.t"}
    found = mistakes(exports={"e": {**source, **keys}})
    return {path.removeprefix("exports.e."): reason for path, reason in found.items()}
