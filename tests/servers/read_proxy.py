"""A BigQuery Storage Read server in front of another one, with the faults of networks as named subclasses.

    ReadProxy               passes everything on, in batches of `batch_rows`; ignores offsets, as the emulator does
    +- HonoursOffsets       begins at the offset asked for, as BigQuery does
    +- BreaksOff            UNAVAILABLE after `messages` messages, on the first `times` calls
    |  +- BreaksOffHonouringOffsets
    +- Dead                 UNAVAILABLE before the first message, always

Used as a context manager; `address` is its `host:port`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

_SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
_Session, _Request, _Response = types.ReadSession.pb(), types.ReadRowsRequest.pb(), types.ReadRowsResponse.pb()


class ReadProxy:
    honours_offset = False

    def __init__(self, upstream: str, batch_rows: int = 1_000) -> None:
        self._batch_rows = batch_rows
        self._channel = grpc.insecure_channel(upstream, options=[("grpc.max_receive_message_length", -1)])
        self._schema: pa.Schema | None = None
        self.offsets: list[int] = []  # of each ReadRows call
        self._server = grpc.server(ThreadPoolExecutor(8))
        handlers = {
            "CreateReadSession": grpc.unary_unary_rpc_method_handler(self._create_session),
            "ReadRows": grpc.unary_stream_rpc_method_handler(self._read_rows),
        }
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, handlers)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._channel.close()

    def disturb(self, messages: int, context: Any) -> None:
        """Called before each message of a call, with the number already sent: the place for a fault."""

    def _create_session(self, request: bytes, context: Any) -> bytes:
        answer = self._channel.unary_unary(f"/{_SERVICE}/CreateReadSession")(request)
        session = _Session.FromString(answer)
        self._schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        return answer

    def _read_rows(self, request: bytes, context: Any) -> Iterator[bytes]:
        asked = _Request.FromString(request)
        self.offsets.append(asked.offset)
        skip, asked.offset = asked.offset if self.honours_offset else 0, 0
        sent = 0
        self.disturb(sent, context)
        for answer in self._channel.unary_stream(f"/{_SERVICE}/ReadRows")(asked.SerializeToString()):
            message = _Response.FromString(answer).arrow_record_batch.serialized_record_batch
            batch = pa.ipc.read_record_batch(pa.py_buffer(message), self._schema)
            rest, skip = batch.slice(skip), max(0, skip - batch.num_rows)
            for first in range(0, rest.num_rows, self._batch_rows):
                self.disturb(sent, context)
                yield self._message(rest.slice(first, self._batch_rows))
                sent += 1
        self.disturb(sent, context)

    def _message(self, batch: pa.RecordBatch) -> bytes:
        response = _Response(row_count=batch.num_rows)
        response.arrow_record_batch.serialized_record_batch = batch.serialize().to_pybytes()
        return response.SerializeToString()


class HonoursOffsets(ReadProxy):
    honours_offset = True


class BreaksOff(ReadProxy):
    def __init__(self, upstream: str, *, messages: int, times: int, batch_rows: int = 1_000) -> None:
        super().__init__(upstream, batch_rows)
        self._messages, self._times = messages, times

    def disturb(self, messages: int, context: Any) -> None:
        # A server that starts anew each time is let get further each time, or nobody would ever see the end.
        limit = self._messages if self.honours_offset else self._messages * len(self.offsets)
        if messages == limit and len(self.offsets) <= self._times:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke off")


class BreaksOffHonouringOffsets(BreaksOff, HonoursOffsets):
    pass


class Dead(ReadProxy):
    def disturb(self, messages: int, context: Any) -> None:
        context.abort(grpc.StatusCode.UNAVAILABLE, "nobody at home")
