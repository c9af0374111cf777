"""Staging: files -> tables beside the target by load jobs, and the statement that brings those tables in."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wharf.connectors import bigquery
from wharf.connectors.loading.jobs import Loaded
from wharf.connectors.loading.state import TakenOver
from wharf.connectors.loading.tables import Target
from wharf.connectors.loading.tools import Tools
from wharf.model.errors import RunFailed
from wharf.model.loading import sql, transform_sql
from wharf.model.loading.batch import Batch, Part
from wharf.model.loading.changes import compare
from wharf.model.loading.options import CSV, JSON
from wharf.model.loading.plan import MOST_TABLES, Load, Seen, loads
from wharf.model.loading.sql import Staged
from wharf.model.schema import Field, TableId

_LONGEST_SQL = 1_000_000  # characters of a statement, https://cloud.google.com/bigquery/quotas#query_jobs


@dataclass(frozen=True)
class StagedLoad:
    """A load job that is done, and what it made."""

    load: Load
    loaded: Loaded
    staged: Staged


@dataclass(frozen=True)
class StagedWave:
    """Batches whose rows lie beside the target, and the statement that brings them in."""

    sql: str
    loads: tuple[StagedLoad, ...]

    @cached_property
    def _of(self) -> dict[str, list[StagedLoad]]:
        """The loads that each batch was part of, by its id."""
        found: dict[str, list[StagedLoad]] = {}
        for each in self.loads:
            for batch in each.load.batches:
                found.setdefault(batch.batch_id, []).append(each)
        return found

    def counts(self, batch: Batch) -> dict[str, int]:
        """Rows of the loads that the batch was part of, and of how many batches they were."""
        its = self._of[batch.batch_id]
        return {
            "loaded_rows": sum(each.loaded.rows for each in its),
            "loaded_batches": len(frozenset[str]().union(*(each.load.batch_ids for each in its))),
            "rejected_rows": sum(each.loaded.rejected for each in its),
        }

    def rejects(self, batch: Batch) -> list[dict[str, Any]]:
        """What BigQuery says of rows that it left out."""
        return [error for each in self._of[batch.batch_id] for error in each.loaded.errors]


class Staging:
    """What is loaded for one target; the table itself is made and changed here when its rows need it."""

    def __init__(self, table: TableId, tools: Tools, location: str, seen: Seen) -> None:
        self._table, self._tools, self._location, self._seen = table, tools, location, seen
        self._target = tools.tables.find(table)
        self._running: dict[str, Future[StagedLoad]] = {}
        self._fitting = threading.Lock()

    def begin(self, wave: Sequence[Batch]) -> list[Load]:
        """Start the load jobs of a wave, whose turn may come later. -> all of them."""
        planned = loads(wave, self._seen, self._tools.most_files)
        for load in planned:
            if load.identity not in self._running:
                self._running[load.identity] = self._tools.pool.submit(self._load, load)
        return planned

    @contextmanager
    def of(self, wave: Sequence[Batch]) -> Iterator[StagedWave]:
        """Stage a wave for the length of the block; the target then fits its rows.

        Raises: WharfError, GoogleAPIError.
        """
        its = self.begin(wave)
        futures = [self._running[load.identity] for load in its]
        made: list[TableId] = []
        wait(futures)
        try:
            done = tuple(future.result() for future in futures)
            if len(done) > MOST_TABLES:
                raise RunFailed(
                    f"its files have {len(done):,} different times or columns, and one statement of BigQuery's names "
                    f"{MOST_TABLES:,} tables: deliver them in several directories"
                )
            statement = self._statement(wave, done, made)
            if len(statement) > _LONGEST_SQL:
                raise RunFailed(f"the statement for its {len(done):,} staging tables is too long for BigQuery")
            yield StagedWave(statement, done)
            made += [each.staged.table for each in done]
        except TakenOver:
            raise  # he who has the batches now may be using the same tables
        except Exception:
            # When the wave is halved, a load of one batch alone is found again; others are done anew, without the rest.
            spent = [load for load in its if len(wave) == 1 or len(load.batches) > 1]
            made += [self._tools.tables.staging(self._table, load.table_name) for load in spent]
            raise
        finally:
            self._tools.pool.submit(self._tools.tables.drop, made)

    def _load(self, load: Load) -> StagedLoad:
        """Run one load job."""
        tools, batch = self._tools, load.batches[0]
        table = tools.tables.staging(self._table, load.table_name)
        fields = self._file_fields(load)
        config = batch.options.job_fields | {"writeDisposition": "WRITE_TRUNCATE"}
        if fields:
            config |= {"schema": {"fields": [field.to_api() for field in fields]}, "autodetect": False}
            if config["sourceFormat"] == CSV and not batch.schema and config.setdefault("skipLeadingRows", 1):
                # By the header's names: positions in the table mean nothing to those who write files.
                config.setdefault("sourceColumnMatch", "NAME")
        elif config["sourceFormat"] in {CSV, JSON}:
            config["autodetect"] = True
        loaded = tools.jobs.load(load.identity, load.uris, table, config, self._location)
        tools.count("load_jobs", 1)
        if not fields:
            found = tools.tables.find(table)
            fields = found.fields if found else ()
        return StagedLoad(load, loaded, Staged(table, load.part.timestamp, load.part.constants, fields))

    def _file_fields(self, load: Load) -> tuple[Field, ...]:
        """The columns of the files, where something says them; empty where BigQuery is to find them."""
        batch = load.batches[0]
        if batch.schema:
            return batch.schema
        options = batch.options.job_fields
        # The emulator cannot tell the columns of files that describe themselves.
        is_text = options["sourceFormat"] in {CSV, JSON} or self._tools.emulated
        if not self._target or batch.transform or options.get("autodetect") or not is_text:
            return ()
        filled = self._filled(load.part)
        return tuple(field for field in self._target.fields if field.name.lower() not in filled)

    def _filled(self, given: Part | Staged) -> set[str]:
        """Columns, in lower case, that get a value which the files do not hold."""
        names = {key.lower() for key, _ in given.constants}
        return names | {self._tools.settings.table.timestamp_column.lower()} if given.timestamp else names

    def _statement(self, wave: Sequence[Batch], done: Sequence[StagedLoad], made: list[TableId]) -> str:
        """What brings the staged rows in; tables that it needs besides are added to `made`."""
        batch, column = wave[0], self._tools.settings.table.timestamp_column
        staged = [each.staged for each in done]
        if batch.transform:
            extended = self._extended(batch, staged, made)
            where = f"{batch.directory}: _config/bq_transform.sql"
            rendered = transform_sql.render(batch.transform, where, self._table, extended)
            if not transform_sql.is_query(rendered):
                return transform_sql.script(rendered)
            staged = [self._transformed(batch, staged, transform_sql.query(rendered), made)]
        target = self._fitted(batch, staged)
        mode = batch.options.write_mode
        if mode == "append":
            return sql.append(self._table, target.fields, staged, column)
        if mode == "replace_table":
            return sql.replace_table(
                self._table, target.fields, staged, column, partition_column=target.partition_column
            )
        if mode == "merge":
            self._check_keys(wave, done, target)
            return sql.merge(self._table, target.fields, staged, column, batch.options.merge_keys)
        spans = [part.replaces for each in wave for part in each.parts if part.replaces]
        self._check_times(target, staged, spans)
        return sql.replace_partition(
            self._table,
            target.fields,
            staged,
            column,
            spans=spans,
            partition_column=target.partition_column,
            granularity=target.granularity,
        )

    def _fitted(self, batch: Batch, staged: Sequence[Staged]) -> Target:
        """The target, made or changed so that it takes the staged rows.

        Raises: RunFailed with every difference.
        """
        with self._fitting:  # waves may come side by side
            return self._fit(batch, staged)

    def _fit(self, batch: Batch, staged: Sequence[Staged]) -> Target:
        tools, settings = self._tools, self._tools.settings
        own = {name for each in staged for name in self._filled(each)}
        for fields in dict.fromkeys(self._columns(each) for each in staged):
            if self._target is None:
                tools.tables.create(self._table, fields, settings.table, batch.options)
                self._target = tools.tables.find(self._table)
                assert self._target
            if not settings.timestamp_regex and not self._target.type_of(settings.table.timestamp_column):
                # Folders say a time, and the table has no use for it.
                fields = tuple(field for field in fields if field.name != settings.table.timestamp_column)
            changes = compare(self._target.fields, fields, own, batch.options.schema_update_options)
            if changes:
                tools.tables.change(self._table, changes)
                self._target = tools.tables.find(self._table) or self._target
        assert self._target
        return self._target

    def _columns(self, staged: Staged) -> tuple[Field, ...]:
        """The columns of the files and those that get a value besides."""
        names = {field.name.lower() for field in staged.fields}
        added = [Field(name=key, type="STRING") for key, _ in staged.constants if key.lower() not in names]
        column = self._tools.settings.table.timestamp_column
        if staged.timestamp and column.lower() not in names:
            added.append(Field(name=column, type="TIMESTAMP"))
        return (*staged.fields, *added)

    def _extended(self, batch: Batch, staged: Sequence[Staged], made: list[TableId]) -> TableId:
        """The batch as one table, with what its files do not hold: what a transformation calls `temp_ext`."""
        if len(staged) == 1 and self._columns(staged[0]) == staged[0].fields:
            return staged[0].table
        columns = {field.name.lower(): field for each in staged for field in self._columns(each)}
        rows = sql.rows_of(staged, list(columns.values()), self._tools.settings.table.timestamp_column)
        return self._kept(batch, "ext", rows, made)

    def _transformed(self, batch: Batch, staged: Sequence[Staged], query: str, made: list[TableId]) -> Staged:
        """The rows that a transformation's query answers with; they keep the batch's one timestamp, if it has one."""
        table = self._kept(batch, "rows", query, made)
        found = self._tools.tables.find(table)
        times = {each.timestamp for each in staged}
        return Staged(table, times.pop() if len(times) == 1 else None, (), found.fields if found else ())

    def _kept(self, batch: Batch, what: str, query: str, made: list[TableId]) -> TableId:
        table = self._tools.tables.staging(self._table, f"wharf_{batch.batch_id}_{what}")
        made.append(table)
        with bigquery.translated(f"{batch.directory}: _config/bq_transform.sql"):
            bigquery.execute(self._tools.client, f"CREATE OR REPLACE TABLE `{table}` AS\n{query}")
        return table

    def _check_times(self, target: Target, staged: Sequence[Staged], spans: Sequence[sql.Span]) -> None:
        """Raises: RunFailed if files with a time of their own hold rows outside of what their paths replace."""
        column = self._tools.settings.table.timestamp_column
        own = [each for each in staged if each.timestamp and each.holds(column)]
        if own and spans:
            query = sql.outside(target.fields, own, column, spans)
            (found,) = bigquery.rows(self._tools.client, query)
            if found["rows_outside"]:
                raise RunFailed(
                    f"{found['rows_outside']:,} rows have a {column} outside of the time that folder or name says, so "
                    "that another delivery would not replace them: mend the files, or choose append"
                )

    def _check_keys(self, wave: Sequence[Batch], done: Sequence[StagedLoad], target: Target) -> None:
        """Raises: RunFailed if a batch has rows that cannot be told apart by their key."""
        column = self._tools.settings.table.timestamp_column
        for batch in wave:
            its = [each.staged for each in done if batch.batch_id in each.load.batch_ids]
            keys = batch.options.merge_keys
            query = sql.merge_check(self._table, target.fields, its, column, keys)
            (found,) = bigquery.rows(self._tools.client, query)
            if found["null_keys"] or found["repeated_keys"]:
                raise RunFailed(
                    f"{batch.directory}: {found['null_keys']:,} rows have no value in {', '.join(keys)}, and "
                    f"{found['repeated_keys']:,} keys come more than once: deliver each key once"
                )
