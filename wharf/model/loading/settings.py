"""What a run of files_to_bigquery does, as typed values; checked once, at the edge."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wharf.model.errors import UsageError
from wharf.model.flags import as_switch
from wharf.model.loading import destination as paths
from wharf.model.loading import timestamps
from wharf.model.loading.flags import FLAGS
from wharf.model.loading.landing import NO_MARKER, fixed_prefix
from wharf.model.loading.options import LoadOptions
from wharf.model.run_flags import ENDPOINTS
from wharf.model.schema import TableId

STATE_TABLE = "bigquery_loads.serverless_bq_loads"
# What a run is started for, and not how it loads.
_OF_A_RUN = {
    *(flag.name for flag in ENDPOINTS),
    *("input", "subscription", "wait_for", "wait_minutes", "max_jobs", "since", "until", "only"),
    *("lease_minutes", "plan"),
}


@dataclass(frozen=True, kw_only=True)
class TableSpec:
    """What a table is made like that is not there; a `load.json` may say otherwise."""

    timestamp_column: str  # which Wharf fills; partitions the table and clusters it first
    granularity: str  # hour, day, month or year
    clustering: tuple[str, ...]  # behind the timestamp column
    expiration_days: int | None
    require_filter: bool
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """Where files come from and what becomes of them. Times are in UTC."""

    pattern: str  # of objects; empty where notifications come from `subscription`
    subscription: str
    prefix: str  # gs://bucket/folder/, below which paths name tables
    marker: str  # _SUCCESS, or none
    wait_for: str | None
    wait: dt.timedelta
    destination: TableId | None
    destination_regex: str  # empty: the default
    timestamp_regex: str
    timestamp_format: str
    source_format: str | None  # None: what names end in
    options: LoadOptions
    table: TableSpec
    staging_dataset: str  # its name; empty: one that Wharf makes
    state_table: TableId
    files_table: TableId
    rejects_table: TableId
    dead_letter_prefix: str  # without a slash at its end; empty: none
    max_jobs: int
    since: dt.datetime | None
    until: dt.datetime | None
    only_failed: bool
    notifications: str
    project: str
    flags: tuple[tuple[str, str], ...]  # those that as_flags() has

    @classmethod
    def from_flags(
        cls, values: Mapping[str, str], *, project: str | None, state_table: str | None, now: dt.datetime
    ) -> LoadSettings:
        """Flags, each allowed by its declaration -> settings.

        `project`: of tables that are named without one. `state_table`: where the environment says it is.

        Raises: UsageError naming the flag.
        """
        _check_source(values)
        destination = _table(values, "destination_table", project)
        project = project or (destination.project if destination else None)
        if not project:
            raise UsageError("--project is missing: nothing else says who pays for the loads")
        state = TableId.parse(
            values["load_state_table"] or state_table or STATE_TABLE, flag="load_state_table", project=project
        )
        since, until = (_instant(values, flag) for flag in ("since", "until"))
        if since and since >= (until or now):
            raise UsageError(f"--since {since:%Y-%m-%dT%H:%M:%S} is not before {'--until' if until else 'now'}")
        _check_expressions(values, has_table=destination is not None)
        prefix = f"{values['prefix'].rstrip('/')}/" if values["prefix"] else fixed_prefix(values["input"])
        rejected = values["dead_letter_prefix"]
        if values["success_file"] == NO_MARKER and rejected.startswith(prefix) and "/_" not in rejected:
            raise UsageError(
                f"--dead_letter_prefix: {rejected} is below {prefix}, where every file is loaded: choose another place"
            )
        if values["write_mode"] == "merge" and as_switch(values, "require_partition_filter"):
            raise UsageError(
                "--write_mode merge looks into all partitions, which --require_partition_filter forbids: drop one"
            )
        resolved = {"prefix": prefix, "load_state_table": str(state)}
        if destination:
            resolved["destination_table"] = str(destination)
        return cls(
            pattern=values["input"],
            subscription=values["subscription"],
            prefix=prefix,
            marker=values["success_file"],
            wait_for=values["wait_for"] or None,
            wait=dt.timedelta(minutes=int(values["wait_minutes"])),
            destination=destination,
            destination_regex=values["destination_regex"],
            timestamp_regex=values["timestamp_regex"],
            timestamp_format=values["timestamp_format"],
            source_format=None if values["source_format"] == "auto" else values["source_format"],
            options=_options(values),
            table=_spec(values),
            staging_dataset=values["staging_dataset"],
            state_table=state,
            files_table=_table(values, "files_table", project) or state._replace(table=f"{state.table}_files"),
            rejects_table=_table(values, "dead_letter_table", project)
            or state._replace(table=f"{state.table}_rejects"),
            dead_letter_prefix=values["dead_letter_prefix"].rstrip("/"),
            max_jobs=int(values["max_jobs"]),
            since=since,
            until=until,
            only_failed=values["only"] == "failed",
            notifications=values["notifications"],
            project=project,
            flags=tuple(_lasting(dict(values) | resolved)),
        )

    def as_flags(self) -> dict[str, str]:
        """The flags that say where and how files are loaded, so that another run can load as this one does."""
        return dict(self.flags)


def _lasting(values: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (flag.name, values[flag.name])
        for flag in FLAGS
        if flag.name not in _OF_A_RUN
        and values[flag.name] != flag.default
        and not (flag.is_switch and values[flag.name] == "false")
    ]


def _check_source(values: Mapping[str, str]) -> None:
    if bool(values["input"]) == bool(values["subscription"]):
        raise UsageError("give exactly one of --input and --subscription")
    if values["subscription"]:
        if not values["prefix"]:
            raise UsageError("--prefix is missing: which of the bucket's files are to be loaded? Write gs://bucket/in/")
        for flag in ("since", "until"):
            if values[flag]:
                raise UsageError(f"--{flag} chooses among files that are there: give it with --input")
        if values["only"] != "all":
            raise UsageError("--only chooses among files that are there: give it with --input")


def _check_expressions(values: Mapping[str, str], *, has_table: bool) -> None:
    paths.compiled(values["destination_regex"], has_table=has_table)
    if values["timestamp_regex"]:
        timestamps.compiled(values["timestamp_regex"], values["timestamp_format"])
    elif values["timestamp_format"]:
        raise UsageError("--timestamp_regex is missing: --timestamp_format says how the text it finds is read")


def _table(values: Mapping[str, str], flag: str, project: str | None) -> TableId | None:
    return TableId.parse(values[flag], flag=flag, project=project) if values[flag] else None


def _instant(values: Mapping[str, str], flag: str) -> dt.datetime | None:
    if not values[flag]:
        return None
    try:
        return dt.datetime.fromisoformat(values[flag]).replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise UsageError(f"--{flag}: {values[flag]!r} is not a time: write one like 2025-03-01T12:00") from error


def _options(values: Mapping[str, str]) -> LoadOptions:
    delimiter, quote = values["field_delimiter"], values["quote"]
    fields: dict[str, Any] = {"encoding": values["encoding"], "useAvroLogicalTypes": True}
    if values["source_format"] != "auto":
        fields["sourceFormat"] = values["source_format"]
    if delimiter:
        fields["fieldDelimiter"] = "\t" if delimiter in {"tab", r"\t"} else delimiter
    if quote:
        fields["quote"] = "" if quote == "none" else quote
    for flag, field in (("skip_leading_rows", "skipLeadingRows"), ("max_bad_records", "maxBadRecords")):
        if values[flag]:
            fields[field] = int(values[flag])
    if as_switch(values, "ignore_unknown_values"):
        fields["ignoreUnknownValues"] = True
    return LoadOptions(
        write_mode=values["write_mode"],
        merge_keys=_names(values["merge_keys"]),
        schema_update_options=tuple(sorted(_names(values["schema_update_options"]))),
    ).with_fields(**fields)


def _spec(values: Mapping[str, str]) -> TableSpec:
    column = values["timestamp_column"]
    clustering = tuple(name for name in _names(values["clustering"]) if name != column)
    if len(clustering) > 3:
        raise UsageError(f"--clustering: BigQuery clusters by four columns, and {column} is the first: name three")
    days = values["partition_expiration_days"]
    return TableSpec(
        timestamp_column=column,
        granularity=values["partition_granularity"],
        clustering=clustering,
        expiration_days=int(days) if days else None,
        require_filter=as_switch(values, "require_partition_filter"),
        labels=tuple((key, value) for key, value in (label.split("=") for label in _names(values["table_labels"]))),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in text.split(",") if name))
