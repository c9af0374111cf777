"""BigQuery -> Arrow RecordBatches, over the Storage Read API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms.metrics import count
from wharf.connectors import bigquery, bigquery_read
from wharf.connectors.bigquery_read import ReadRequest
from wharf.connectors.endpoints import Endpoints

_QUERY_LIVES = dt.timedelta(days=1)  # what a run that died leaves in the temporary dataset


@dataclass
class ReadFromBigQuery(beam.PTransform):
    """Read a table, or a query that is materialised into `request.table` first.

    PBegin -> pyarrow.RecordBatch, some thousand rows each, columns as `request.columns`. One read stream to a
    bundle: a session of many streams uses every worker. Each row comes once, whatever breaks on the way.
    """

    request: ReadRequest
    endpoints: Endpoints
    query: str = ""

    def expand(self, pbegin: Any) -> Any:
        streams = (
            pbegin
            | "Request" >> beam.Create([self.request])
            | "OpenSession" >> beam.ParDo(_OpenSession(self.endpoints, self.query))
        )
        return (
            streams
            | "SpreadStreams" >> beam.Reshuffle()
            | "ReadStream" >> beam.ParDo(_ReadStream(self.endpoints)).with_output_types(pa.RecordBatch)
        )


@dataclass
class _OpenSession(beam.DoFn):
    """ReadRequest -> (stream, Arrow schema). Repeating it opens another session and reads that one only."""

    endpoints: Endpoints
    query: str

    def process(self, request: ReadRequest) -> Iterator[tuple[str, bytes]]:
        if self.query:
            client = self.endpoints.bigquery_client(request.project)
            bigquery.materialise(client, self.query, request.table, dt.datetime.now(dt.UTC) + _QUERY_LIVES)
        session = bigquery_read.open_session(self.endpoints.read_client(), request)
        count("streams", len(session.streams))
        for stream in session.streams:
            yield stream, session.schema


@dataclass
class _ReadStream(beam.DoFn):
    """(stream, Arrow schema) -> RecordBatches."""

    endpoints: Endpoints

    def setup(self) -> None:
        self._client = self.endpoints.read_client()

    def process(self, stream: tuple[str, bytes]) -> Iterator[pa.RecordBatch]:
        name, schema = stream
        batches = bigquery_read.read_stream(
            self._client,
            name,
            pa.ipc.read_schema(pa.py_buffer(schema)),
            honours_offset=not self.endpoints.bigquery_storage_emulated,
        )
        for batch in batches:
            count("rows_read", batch.num_rows)
            yield batch
