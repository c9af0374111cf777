"""Where the rejects of batches go: rows of the dead-letter table, and copies of their files below a prefix."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound

from wharf.connectors import bigquery
from wharf.connectors.loading.group_commit import GroupCommit
from wharf.connectors.retry import POLICY
from wharf.connectors.storage import blob_of, copy, split_uri
from wharf.model.errors import UsageError
from wharf.model.loading.batch import Batch, Refused
from wharf.model.loading.state import REJECTS, reject_rows
from wharf.model.schema import TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client as BigQueryClient
    from google.cloud.storage import Blob
    from google.cloud.storage import Client as StorageClient

_LOG = logging.getLogger(__name__)
_NOWHERE = "no-table"  # in the place of a table, for a batch of which nobody knows where it was to go


class Rejects:
    """Rows of `table`; with a `prefix`, gs://..., also `PREFIX/<dataset.table>/<batch id>/rejects.jsonl` and `files/`.

    Threads may share it.
    """

    def __init__(self, client: BigQueryClient, storage: StorageClient, table: TableId, prefix: str = "") -> None:
        self._client, self._storage = client, storage
        self._table, self._prefix = table, prefix.rstrip("/")
        self._merge: GroupCommit[Mapping[str, Any], int] = GroupCommit(
            lambda rows: bigquery.merge_rows(client, table, REJECTS, rows)
        )

    def ensure(self, location: str | None = None) -> None:
        """Make the table where it is missing, and look whether there is a bucket for the prefix.

        Raises: UsageError.
        """
        bigquery.ensure_table(self._client, self._table, REJECTS, location)
        if not self._prefix:
            return
        bucket, _ = split_uri(self._prefix)
        try:
            next(iter(self._storage.list_blobs(bucket, max_results=1, retry=POLICY)), None)
        except (NotFound, Forbidden) as error:
            what = "there is no such bucket" if isinstance(error, NotFound) else "no permission to see the bucket"
            raise UsageError(f"--dead_letter_prefix: {self._prefix}: {what}") from error

    def record(self, batch: Batch | Refused, errors: Sequence[Mapping[str, Any]]) -> None:
        """Record why a batch failed: `errors` as BigQuery's jobs have them, with reason, message, location.

        Twice is the same as once. Files that the errors name are copied, on Cloud Storage's side; that this fails is
        no reason for the batch to end in another way.
        """
        rows = reject_rows(batch, errors, dt.datetime.now(dt.UTC))
        self._merge(rows)
        if self._prefix:
            try:
                self._set_aside(batch, rows)
            except GoogleAPIError as error:
                _LOG.warning(
                    "rejects of %s could not be put below %s: %s", batch.landing.directory, self._prefix, error
                )

    def _set_aside(self, batch: Batch | Refused, rows: Sequence[Mapping[str, Any]]) -> None:
        table = f"{batch.table.dataset}.{batch.table.table}" if batch.table else _NOWHERE
        folder = f"{self._prefix}/{table}/{batch.landing.batch_id}"
        lines = "".join(json.dumps(row, default=str, ensure_ascii=False) + "\n" for row in rows)
        self._blob(f"{folder}/rejects.jsonl").upload_from_string(lines, content_type="application/jsonl", retry=POLICY)
        # A file that is a batch of its own is called so by its last part.
        above = batch.landing.directory.rpartition("/")[0]
        for uri in sorted({row["file_uri"] for row in rows} - {""}):
            source = self._blob(uri)
            if source.exists(retry=POLICY):  # else it has been repaired or removed meanwhile
                copy(source, self._blob(f"{folder}/files{uri.removeprefix(above)}"))

    def _blob(self, uri: str) -> Blob:
        return blob_of(self._storage, uri)
