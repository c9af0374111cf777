"""The pipelines there are: a line on each, and its flags, for templates, documents and commands."""

from __future__ import annotations

from dataclasses import dataclass

from wharf.model import avro_flags, sftp_run
from wharf.model.errors import UsageError
from wharf.model.fetching import flags as fetching
from wharf.model.flags import Flag, nearest
from wharf.model.loading import flags as loading


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """One pipeline; its module is looked up by name, because it needs Beam and this does not."""

    name: str
    title: str
    summary: str
    flags: tuple[Flag, ...]

    @property
    def module(self) -> str:
        """What `python -m` takes."""
        return f"pipelines.{self.name}"


PIPELINES = {
    pipeline.name: pipeline
    for pipeline in (
        Pipeline(
            name="bigquery_to_avro",
            title="BigQuery to partitioned Avro files",
            summary="Exports a window of a table or query to year=/month=/day=/vendor= Avro files on Cloud Storage",
            flags=avro_flags.FLAGS,
        ),
        Pipeline(
            name="files_to_bigquery",
            title="Files to partitioned BigQuery tables",
            summary="Loads files that landed on Cloud Storage into partitioned, clustered tables, each directory once",
            flags=loading.FLAGS,
        ),
        Pipeline(
            name="bigquery_to_sftp",
            title="BigQuery to an SFTP server",
            summary="Delivers full, date-range and incremental exports to an SFTP server, verified and resumable",
            flags=sftp_run.FLAGS,
        ),
        Pipeline(
            name="api_to_bigquery",
            title="APIs to raw BigQuery tables",
            summary="Fetches all endpoints of an API inside its rate limits into Cloud Storage and raw tables",
            flags=fetching.FLAGS,
        ),
    )
}


def pipeline_named(name: str) -> Pipeline:
    """The pipeline called `name`.

    Raises: UsageError.
    """
    if name not in PIPELINES:
        raise UsageError(f"there is no pipeline {name!r}{nearest(name, PIPELINES)}; there are {', '.join(PIPELINES)}")
    return PIPELINES[name]
