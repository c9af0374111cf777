"""Raw tables' integer columns that get a type with room for what has come, where nothing that is there is lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from google.api_core import exceptions

from wharf.connectors import bigquery
from wharf.connectors.retry import POLICY
from wharf.model.fetching import raw_sql
from wharf.model.schema import TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_LOG = logging.getLogger(__name__)
_TIMEOUT = 60.0  # seconds for one answer


def widen(client: Client, table: TableId, types: Mapping[str, str], *, emulated: bool) -> dict[str, str]:
    """Give INT64 columns the types that `shapes.wider` found for them. -> those that have them now.

    One stays as it is if it holds integers that a FLOAT64 would round, or if BigQuery refuses.
    https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language#alter_column_set_data_type_statement
    """
    rounded = [name for name, type_ in types.items() if type_ == "FLOAT64"]
    exact = bigquery.rows(client, raw_sql.are_short(table, rounded))[0] if rounded else {}
    done: dict[str, str] = {}
    for name, type_ in types.items():
        if not exact.get(name, True):
            continue
        try:
            bigquery.execute(client, raw_sql.widen(table, name, type_, emulated=emulated))
        except exceptions.BadRequest as error:  # of a table that somebody else made: a view or a partition needs it
            _LOG.warning("%s: column %s cannot become %s: %s", table, name, type_, error.message)
            continue
        done[name] = type_
    if emulated and done:  # it has changed the columns now, and lists them as before
        _list_as(client, table, done)
    return done


def _list_as(client: Client, table: TableId, types: Mapping[str, str]) -> None:
    from google.cloud.bigquery import SchemaField

    found = client.get_table(str(table), retry=POLICY, timeout=_TIMEOUT)
    fields = [field.to_api_repr() for field in found.schema]
    found.schema = [
        SchemaField.from_api_repr(each | {"type": types.get(each["name"], each["type"])}) for each in fields
    ]
    client.update_table(found, ["schema"], retry=POLICY, timeout=_TIMEOUT)
