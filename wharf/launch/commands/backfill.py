"""`wharf backfill`: one run for each period, several at a time; what the ledger has as done is skipped."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wharf.launch.backfilling.ingest import add_ingest
from wharf.launch.backfilling.steps import WINDOW_FLAGS, refuse_without_periods, steps_of
from wharf.launch.output import print_lines
from wharf.launch.parser import Parser, add_group, count, require
from wharf.launch.running.request import add_pipelines, add_target, requested
from wharf.launch.running.unknown_flags import unknown_flags_first

if TYPE_CHECKING:
    from wharf.connectors.done_windows import DoneWindow
    from wharf.launch.backfilling.queue import Outcome
    from wharf.model.launching.periods import Period

_OWN_FLAGS = ("plan", "force", *(flag for flags in WINDOW_FLAGS.values() for flag in flags))


def register(commands: Any) -> None:
    """Add `backfill` to the commands of a parser."""
    add_group(
        commands,
        "backfill",
        "run a pipeline once for each period of a range, what is done already left out",
        usage="wharf backfill PIPELINE|JOB --from DATE --to DATE [options] [flags] [Beam's options]\n"
        "       wharf backfill ingest --input PATTERN [options]",
        fill=_fill,
        examples=(
            "wharf backfill measurements --from 2024-01 --to 2025-01 --target dataflow --concurrency 4 \\",
            "    --launch_config prod.json",
            "wharf backfill bigquery_to_sftp --config exports.json --export_name orders \\",
            "    --from 2025-03-01 --to 2025-03-15 --dry-run",
            "wharf backfill ingest --input 'gs://my-bucket/in/**' --since 2025-03-01 --project my-project",
        ),
    )


def _fill(parser: Parser) -> None:
    commands = parser.add_subparsers(noun="pipeline or job", dest="name")
    add_ingest(commands)
    add_pipelines(parser, _backfill, _add_options, only=WINDOW_FLAGS, leave_out=_OWN_FLAGS, commands=commands)


def _add_options(leaf: Parser) -> None:
    from wharf.model.launching.periods import LENGTHS

    leaf.add_argument("--from", dest="start", metavar="DATE", help="the first period: 2024-01 or a day")
    leaf.add_argument("--to", dest="end", metavar="DATE", help="the first period that is not wanted")
    leaf.add_argument(
        "--every",
        choices=LENGTHS,
        default="",
        help="the length of a period (default: a month; of bigquery_to_sftp always a day)",
    )
    leaf.add_argument("--concurrency", metavar="N", type=count, default=2, help="so many runs at a time (default 2)")
    leaf.add_argument("--keep-going", action="store_true", help="begin further periods after one has failed")
    leaf.add_argument(
        "--force",
        dest="repeat",
        action="store_true",
        help="repeat periods that are done, and take over from runs that are alive",
    )
    leaf.add_argument("--dry-run", action="store_true", help="show the periods, and run nothing")
    leaf.add_argument("--json", action="store_true", help="print the table as JSON, one object a line")
    add_target(leaf)


def _backfill(arguments: argparse.Namespace) -> int:
    from wharf.connectors.light_bigquery import import_lightly
    from wharf.launch.backfilling.queue import DONE, FAILED, NOT_RUN, TODO, Outcome, run_all
    from wharf.launch.running.preflight import preflight

    with unknown_flags_first(arguments):
        refuse_without_periods(arguments.name)
        require(arguments.parser, {"--from": arguments.start, "--to": arguments.end})
        request = requested(arguments)
        if arguments.repeat:
            request = request.with_parameters({"force": "true"})
        steps = steps_of(request, arguments.start, arguments.end, arguments.every)
    import_lightly()
    done = {} if arguments.repeat else steps.done()
    outcomes = {step.period: Outcome(DONE if step.period in done else TODO) for step in steps.steps}
    todo = [step for step in steps.steps if step.period not in done]
    if todo and not arguments.dry_run:
        with unknown_flags_first(arguments):
            preflight(todo[0].request)  # a mistake in all of them is told once
        for step in todo:
            outcomes[step.period] = Outcome()
        run_all(arguments, todo, outcomes)
        done = steps.done()
    _show(outcomes, done, as_json=arguments.json)
    return int(any(outcome.status in (FAILED, NOT_RUN) for outcome in outcomes.values()))


def _show(outcomes: Mapping[Period, Outcome], done: Mapping[Period, list[DoneWindow]], *, as_json: bool) -> None:
    from wharf.launch.backfilling.queue import DONE, SUCCESS

    rows = [
        _facts(period, outcome, done.get(period, []) if outcome.status in (DONE, SUCCESS) else [])
        for period, outcome in outcomes.items()
    ]
    if as_json:
        print_lines(rows)
        return
    widest = max(len(str(period)) for period in [*outcomes, "period"])
    print(f"{'period':<{widest}} {'status':<11} {'rows':>14} {'took':>8}  run")
    for period, row in zip(outcomes, rows, strict=True):
        count, took = ("" if row[key] is None else f"{row[key]:,.0f}" for key in ("rows", "seconds"))
        runs = ", ".join(row["run_ids"])
        took = f"{took} s" if took else ""
        print(f"{period!s:<{widest}} {row['status']:<11} {count:>14} {took:>8}  {runs}".rstrip())
        if row["error"]:
            print(f"{'':<{widest}} {row['error']}")


def _facts(period: Period, outcome: Outcome, runs: list[DoneWindow]) -> dict[str, Any]:
    return {
        "period": str(period),
        "from": period.start,
        "to": period.end,
        "status": outcome.status,
        "rows": sum(run.rows or 0 for run in runs) if runs and all(run.rows is not None for run in runs) else None,
        "seconds": outcome.seconds,
        "run_ids": [run.run_id for run in runs],
        "error": outcome.error,
    }
