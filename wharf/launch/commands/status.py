"""`wharf status`: what ran, and how it ended; of all pipelines, or of one ledger."""

from __future__ import annotations

import argparse
import datetime as dt
from typing import Any

from wharf.launch.launch_config import add_launch_config
from wharf.launch.ledgers import batches
from wharf.launch.ledgers.deliveries import open_deliveries
from wharf.launch.ledgers.launches import launches_alone
from wharf.launch.ledgers.run_history import open_history
from wharf.launch.output import print_lines, run_facts
from wharf.launch.parser import add_command, count, day
from wharf.model.errors import UsageError

_FILTERS = ("pipeline", "name", "status")


def register(commands: Any) -> None:
    """Add `status` to the commands of a parser."""
    status = add_command(
        commands,
        "status",
        _status,
        "show runs of all pipelines, newest first, and how they ended",
        examples=(
            "wharf status --launch_config deploy/environments/prod.json --status FAILED",
            "wharf status --project my-project --pipeline bigquery_to_avro --since 2025-03-01 --json",
            "wharf status --config exports.json            # of one configuration's exports alone",
        ),
    )
    add_launch_config(status)
    status.add_argument(
        "--project", metavar="PROJECT", help="whose default tables are read without --launch_config; who pays"
    )
    status.add_argument("--pipeline", metavar="PIPELINE", default="", help="runs of this pipeline only")
    status.add_argument("--name", metavar="NAME", default="", help="runs of this export, table or client/api only")
    status.add_argument("--status", metavar="STATUS", default="", help="RUNNING, SUCCESS, FAILED, STOPPED, ... only")
    status.add_argument("--since", metavar="DATE", type=day, help="runs from this day on (default: a week ago)")
    status.add_argument("--limit", metavar="N", type=count, default=100, help="at most so many runs (default 100)")
    status.add_argument("--json", action="store_true", help="print one JSON object a line")
    one = status.add_argument_group("one ledger, with all that it tells")
    one.add_argument("--config", metavar="FILE", help="the ledger of this configuration of exports: a path or gs://")
    one.add_argument("--metadata_table", metavar="TABLE", help="this ledger of exports, project.dataset.table")
    one.add_argument("--load_state_table", metavar="TABLE", help="batches of files, in this project.dataset.table")
    one.add_argument("--export_name", metavar="NAME", help="of this export only")


def _status(arguments: argparse.Namespace) -> int:
    from wharf.connectors.light_bigquery import import_lightly

    import_lightly()
    since = arguments.since or dt.datetime.now(dt.UTC).date() - dt.timedelta(days=7)
    if not (arguments.config or arguments.metadata_table or arguments.load_state_table):
        if arguments.export_name:
            raise UsageError(
                "--export_name goes with --config or --metadata_table; of all ledgers --name is the filter"
            )
        return _all(arguments, since)
    if given := [name for name in _FILTERS if getattr(arguments, name)]:
        raise UsageError(f"--{given[0]} is a filter for all ledgers: leave out the one that you named, or the filter")
    if arguments.load_state_table:
        return batches.show_batches(arguments, since)
    return _of_one(arguments, since)


def _all(arguments: argparse.Namespace, since: dt.date) -> int:
    from wharf.model.flags import nearest
    from wharf.model.history.runs import STATUSES
    from wharf.model.history.tables import runs_table

    wanted = arguments.status.upper()
    if wanted and wanted not in STATUSES:
        raise UsageError(f"--status: {wanted!r} is none of {', '.join(STATUSES)}{nearest(wanted, STATUSES)}")
    if arguments.pipeline:
        from wharf.model.launching.pipelines import pipeline_named

        pipeline_named(arguments.pipeline)
    history = open_history(arguments)
    found = history.runs(
        pipeline=arguments.pipeline, name=arguments.name, status=wanted, since=since, limit=arguments.limit
    )
    found += [
        run
        for run in launches_alone(arguments, history)
        if arguments.pipeline in ("", run.pipeline)
        and arguments.name in ("", run.name)
        and wanted in ("", run.status)
        and run.started_at.date() >= since
    ]
    found = sorted(found, key=lambda run: run.started_at, reverse=True)[: arguments.limit]
    if arguments.json:
        print_lines(map(run_facts, found))
    else:
        print(runs_table(found) if found else f"no such runs since {since}")
        if any(run.retry for run in found):
            print("`wharf retry RUN` repeats or completes one that has failed")
        if len(found) == arguments.limit:
            print(f"these are the newest {arguments.limit}; --limit shows more")
    return 0


def _of_one(arguments: argparse.Namespace, since: dt.date) -> int:
    from wharf.connectors.deliveries import history
    from wharf.connectors.endpoints import Endpoints
    from wharf.model.report import history_table
    from wharf.model.schema import TableId

    if arguments.metadata_table:
        table = TableId.parse(arguments.metadata_table, flag="metadata_table", project=arguments.project)
        client = Endpoints.resolve().bigquery_client(arguments.project or table.project)
    else:
        _, deliveries = open_deliveries(arguments)
        table, client = deliveries.metadata, deliveries.client
    rows = history(client, table, since, arguments.export_name)
    if arguments.json:
        print_lines(rows)
    else:
        print(history_table(rows) if rows else f"no runs since {since}")
    return 0
