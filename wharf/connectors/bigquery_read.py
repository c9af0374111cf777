"""BigQuery's Storage Read API: a session of streams, each a sequence of Arrow RecordBatches."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from google.api_core import exceptions

from wharf.connectors.retry import POLICY, pause
from wharf.model.errors import RunFailed, UsageError
from wharf.model.schema import TableId

if TYPE_CHECKING:
    from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient

_LOG = logging.getLogger(__name__)
_ATTEMPTS_WITHOUT_PROGRESS = 6
_LONGEST_WAIT = 20.0  # seconds

# The connection broke or the server did; the stream can go on from the last row received.
_RESUMABLE = (
    exceptions.ServiceUnavailable,
    exceptions.InternalServerError,
    exceptions.TooManyRequests,
    exceptions.GatewayTimeout,
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.Unknown,
)


@dataclass(frozen=True)
class ReadRequest:
    """What to read: columns and rows of a table, all pushed down to the session."""

    table: TableId
    columns: tuple[str, ...]
    restriction: str
    project: str  # pays
    max_streams: int = 0  # 0: BigQuery's choice


@dataclass(frozen=True)
class ReadSession:
    """Streams that can be read in any order by any worker; together they are one snapshot of the table."""

    streams: tuple[str, ...]
    schema: bytes  # Arrow IPC; empty if there are no streams
    estimated_bytes: int
    estimated_rows: int


def open_session(client: BigQueryReadClient, request: ReadRequest) -> ReadSession:
    """Begin to read.

    Raises: UsageError if the restriction, the table or the permission is at fault.
    """
    from google.cloud.bigquery_storage_v1 import types

    compression = types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME
    options = types.ReadSession.TableReadOptions(
        selected_fields=list(request.columns),
        row_restriction=request.restriction,
        arrow_serialization_options=types.ArrowSerializationOptions(buffer_compression=compression),
    )
    wanted = types.ReadSession(table=request.table.path, data_format=types.DataFormat.ARROW, read_options=options)
    try:
        session = client.create_read_session(
            parent=f"projects/{request.project}",
            read_session=wanted,
            max_stream_count=request.max_streams,
            retry=POLICY,
            timeout=600,
        )
    except (exceptions.InvalidArgument, exceptions.NotFound, exceptions.PermissionDenied) as error:
        raise UsageError(f"{request.table} cannot be read where {request.restriction}: {error.message}") from error
    return ReadSession(
        streams=tuple(stream.name for stream in session.streams),
        schema=session.arrow_schema.serialized_schema,
        estimated_bytes=session.estimated_total_bytes_scanned,
        estimated_rows=session.estimated_row_count,
    )


def read_stream(
    client: BigQueryReadClient, stream: str, schema: pa.Schema, *, honours_offset: bool = True
) -> Iterator[pa.RecordBatch]:
    """All rows of one stream, each exactly once whatever happens to the connection.

    A broken stream is resumed at the row after the last one received. A server that ignores offsets (an emulator)
    is read again from its start, and the rows it repeats are skipped.

    Raises: RunFailed when a stream stays broken.
    """
    received = failures = 0
    while True:
        skip = 0 if honours_offset else received
        try:
            offset = received if honours_offset else 0
            for response in client.read_rows(read_stream=stream, offset=offset, retry=None, timeout=86_400):
                message = type(response).pb(response).arrow_record_batch.serialized_record_batch
                batch = pa.ipc.read_record_batch(pa.py_buffer(message), schema)
                if skip >= batch.num_rows:
                    skip -= batch.num_rows
                    continue
                batch, skip = batch.slice(skip), 0
                received += batch.num_rows
                failures = 0
                yield batch
            return
        except _RESUMABLE as error:
            failures += 1
            if failures == _ATTEMPTS_WITHOUT_PROGRESS:
                raise RunFailed(f"read stream broke {failures} times at row {received}: {error.message}") from error
            wait = pause(failures, _LONGEST_WAIT)
            _LOG.warning("read stream broke at row %d (%s); resuming in %.1f s", received, error.message, wait)
            time.sleep(wait)
