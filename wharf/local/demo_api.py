"""`wharf demo api`: an accounting API of two tenants, fetched whole inside its limits, and then what has changed."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wharf.connectors import bigquery
from wharf.connectors.storage import open_storage
from wharf.local.api_data import records
from wharf.local.api_server import ApiServer
from wharf.local.demo import say
from wharf.local.demo_sftp import Steps
from wharf.local.stack import LocalStack
from wharf.model.errors import RunFailed, UsageError
from wharf.model.fetching.layout import table_name, view_name

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_EXAMPLE = Path(__file__).parents[2] / "examples" / "api_to_bigquery" / "xero.json"
_TENANTS = ("acme-uk", "acme-nz")
_AGAIN = ("Contacts", "Invoices")
_CHANGED = 3
_SHOWN = 4
_MOST = 250  # records of an endpoint: with them both runs stay within the 60 requests of one minute


def run_demo(arguments: argparse.Namespace) -> int:
    """Start the stack and a server like Xero's in `arguments.dir`, and fetch the Xero example twice.

    Raises: RunFailed if a step does not end as it should, or the tables hold other records than the server.
    """
    if not _EXAMPLE.exists():
        raise UsageError(f"{_EXAMPLE} is missing: run the demo in a clone of Wharf's repository")
    say("starting the embedded stack, BigQuery and Cloud Storage, and an API that behaves like Xero's")
    count = min(arguments.rows, _MOST)
    with LocalStack(arguments.dir) as stack, ApiServer(records=count, tenants=_TENANTS) as server:
        client = stack.endpoints.bigquery_client(stack.project)
        config = _write_config(arguments.dir, stack, server)
        run = Steps(stack, XERO_CLIENT_ID=server.login.client_id, XERO_CLIENT_SECRET=server.login.client_secret)
        fetch = ["python", "-m", "pipelines.api_to_bigquery", "--config", str(config), "--client_name", "acme"]
        run(*fetch)
        say(f"what is at gs://{stack.bucket}/acme/xero now:")
        _show_files(stack)
        say("some of the raw tables, and rows of wharf.api_fetches:")
        _show(
            client, f"SELECT _tenant, COUNT(*) AS `rows` FROM acme_xero.{table_name('Invoices')} GROUP BY 1 ORDER BY 1"
        )
        _show(
            client,
            "SELECT endpoint, tenant, status, pages, records, requests, retries, cursor_after FROM wharf.api_fetches "
            f"ORDER BY endpoint, tenant LIMIT {_SHOWN}",
        )
        say(
            f"{_CHANGED} invoices of {_TENANTS[0]} are paid; the next run asks only for what has changed since the last"
        )
        server.change(_TENANTS[0], "Invoices", _CHANGED, Status="PAID")
        run(*fetch, "--endpoints", ",".join(_AGAIN))
        say("every state of an invoice is in the raw table, the latest one in the view:")
        _show(
            client,
            f"SELECT Reference, Status, _run_id FROM acme_xero.{table_name('Invoices')} WHERE Reference = "
            f"'Invoices-{count:05}' AND _tenant = '{_TENANTS[0]}' ORDER BY _fetched_at",
        )
        _check(client, json.loads(config.read_text()), count)
        refused, most = server.refused(), max(server.most_in(60, tenant) for tenant in _TENANTS)
        say(f"of each tenant the API takes 60 requests a minute: {most} were sent, {refused} refused")
        if refused:
            raise RunFailed("the API's limits were not kept")
    return 0


def _write_config(folder: Path, stack: LocalStack, server: ApiServer) -> Path:
    """The Xero example, with this machine's places in it."""
    token = folder / "refresh-token"
    token.write_text(server.login.refresh_token)
    here: dict[str, Any] = {
        "base_url": f"{server.url}/api.xro/2.0",
        "auth": {
            "kind": "refresh_token",
            "token_url": server.token_url,
            "client_id": "env:XERO_CLIENT_ID",
            "client_secret": "env:XERO_CLIENT_SECRET",
            "token": f"file:{token}",
        },
        "clients": {"acme": {"tenants": list(_TENANTS)}},
        "bucket": stack.bucket,
        "project": stack.project,
        "metadata_table": f"{stack.project}.wharf.api_fetches",
    }
    config = folder / "xero.json"
    config.write_text(json.dumps(json.loads(_EXAMPLE.read_text()) | here, indent=2) + "\n")
    say(f"{config} is examples/api_to_bigquery/xero.json with this machine's places:")
    print(json.dumps(here, indent=2))
    return config


def _show_files(stack: LocalStack) -> None:
    uris = open_storage(f"gs://{stack.bucket}", stack.endpoints).list(f"gs://{stack.bucket}/acme/xero/")
    folders = defaultdict(list)
    for uri in uris:
        folder, _, name = uri.removeprefix(f"gs://{stack.bucket}/acme/xero/").rpartition("/")
        folders[folder].append(name)
    for folder in sorted(folders)[:_SHOWN]:
        print(f"   {folder}/  {'  '.join(folders[folder])}")
    print(f"   ...\n   {len(folders)} folders, {sum('/part-' in uri for uri in uris)} parts")


def _show(client: Client, sql: str) -> None:
    rows = [{name: str(value) for name, value in row.items()} for row in bigquery.rows(client, sql)]
    shown = [{name: name for name in rows[0]}, *rows]
    widths = {name: max(len(row[name]) for row in shown) for name in rows[0]}
    for row in shown:
        print(f"   {'  '.join(f'{value:<{widths[name]}}' for name, value in row.items())}".rstrip())


def _check(client: Client, config: dict[str, Any], count: int) -> None:
    """Compare each view with what the server has, and the changed ones with what changed."""
    checked = 0
    for name, endpoint in config["endpoints"].items():
        if endpoint.get("enabled", True):
            (found,) = bigquery.rows(client, f"SELECT COUNT(*) AS n FROM acme_xero.{view_name(name)}")
            expected = sum(len(records(tenant, name, count)) for tenant in _TENANTS)
            if found["n"] != expected:
                raise RunFailed(f"{view_name(name)} holds {found['n']:,} rows, the API {expected:,} records")
            checked += expected
    names = [table_name("Invoices"), view_name("Invoices")]
    raw, latest = (bigquery.rows(client, f"SELECT COUNT(*) AS n FROM acme_xero.{name}")[0]["n"] for name in names)
    (paid,) = bigquery.rows(client, f"SELECT COUNT(*) AS n FROM acme_xero.{names[1]} WHERE Status = 'PAID'")
    changed = min(_CHANGED, count)
    if (raw - latest, paid["n"]) != (changed, changed):
        raise RunFailed(f"{changed} invoices have changed; {raw - latest} came, and {paid['n']} are paid")
    print(
        f"   {checked:,} records in all views, as the API has them; {names[0]} has {raw:,} rows, {names[1]} {latest:,}"
    )
