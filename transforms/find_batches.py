"""What landed on Cloud Storage -> batches that can be loaded."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from transforms.metrics import count
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.loading.landings import ConfigFiles, is_there, landing_of, list_landings
from wharf.connectors.loading.resolve import resolve
from wharf.connectors.loading.state import LoadState
from wharf.model.errors import RunFailed
from wharf.model.loading.batch import Batch, Landing, Refused
from wharf.model.loading.notifications import Notification
from wharf.model.loading.settings import LoadSettings
from wharf.model.loading.state import DONE, FAILED

if TYPE_CHECKING:
    from google.cloud.storage import Client

_LOOK_AGAIN = 2.0  # seconds


@dataclass
class AwaitFile(beam.PTransform):
    """Pass patterns on once the file `uri` is there; without one, at once.

    PCollection of pattern -> the same. Raises: RunFailed if it is not there after `longest`.
    """

    uri: str | None
    longest: dt.timedelta
    endpoints: Endpoints

    def expand(self, patterns: Any) -> Any:
        return patterns | "Await" >> beam.ParDo(_Await(self)) if self.uri else patterns


@dataclass
class _Await(beam.DoFn):
    spec: AwaitFile

    def process(self, pattern: str) -> Iterator[str]:
        uri, longest = self.spec.uri, self.spec.longest
        assert uri
        storage, end = self.spec.endpoints.storage_client(), time.monotonic() + longest.total_seconds()
        while not is_there(storage, uri):
            if time.monotonic() > end:
                raise RunFailed(
                    f"{uri} is not there after {longest.total_seconds() / 60:.0f} minutes, so nothing was loaded: run "
                    "again when it is, or wait longer with --wait_minutes"
                )
            time.sleep(_LOOK_AGAIN)
        yield pattern


@dataclass
class HoldUntil(beam.PTransform):
    """Record batches as DISCOVERED, and drop them, as long as the file that all wait for is not there.

    PCollection of Batch | Refused -> those that may be loaded now. Who sees the file come lists what was held.
    """

    settings: LoadSettings
    endpoints: Endpoints

    def expand(self, batches: Any) -> Any:
        return batches | "Hold" >> beam.ParDo(_Hold(self.settings, self.endpoints))


@dataclass
class _Hold(beam.DoFn):
    settings: LoadSettings
    endpoints: Endpoints

    def setup(self) -> None:
        self._storage = self.endpoints.storage_client()
        self._state = LoadState(self.endpoints.bigquery_client(self.settings.project), self.settings.state_table)
        self._released = False

    def process(self, batch: Batch | Refused) -> Iterator[Batch | Refused]:
        uri = self.settings.wait_for
        assert uri
        self._released = self._released or is_there(self._storage, uri)
        if self._released:
            yield batch
        else:
            count("batches_held")
            self._state.discover([batch], json.dumps(self.settings.as_flags()))


@dataclass
class FindBatches(beam.PTransform):
    """List a pattern's objects for directories that are complete and not loaded yet.

    PCollection of pattern -> PCollection of Batch | Refused.
    """

    settings: LoadSettings
    endpoints: Endpoints

    def expand(self, patterns: Any) -> Any:
        return patterns | "List" >> beam.ParDo(_List(self.settings, self.endpoints))


@dataclass
class _List(beam.DoFn):
    settings: LoadSettings
    endpoints: Endpoints

    def setup(self) -> None:
        self._storage = self.endpoints.storage_client()
        self._state = LoadState(self.endpoints.bigquery_client(self.settings.project), self.settings.state_table)

    def process(self, pattern: str) -> Iterator[Batch | Refused]:
        settings = dataclasses.replace(self.settings, pattern=pattern)
        for batch in find_batches(settings, self._storage, self._state):
            count("batches_found")
            yield batch


def find_batches(settings: LoadSettings, storage: Client, state: LoadState | None) -> Iterator[Batch | Refused]:
    """The batches that the pattern means, are complete and are not DONE; with `--only failed`, those that failed.

    Without a `state` nothing has been recorded yet.

    Raises: UsageError, RunFailed if Cloud Storage cannot be asked.
    """
    configs = ConfigFiles(storage)
    landings = list_landings(storage, settings.pattern, settings.marker, configs)
    wanted = [landing for landing in landings if _is_wanted(landing, settings)]
    known = state.rows(landing.batch_id for landing in wanted) if state else {}
    for landing in wanted:
        status = known.get(landing.batch_id, {}).get("status")
        if status == FAILED if settings.only_failed else status != DONE:
            yield resolve(landing, settings, configs)


def _is_wanted(landing: Landing, settings: LoadSettings) -> bool:
    since, until, created = settings.since, settings.until, landing.marker.created
    return (not since or since <= created) and (not until or created < until)


@dataclass
class FindAnnounced(beam.PTransform):
    """Look at the directories whose markers were announced.

    PCollection of Notification -> PCollection of Batch | Refused. One whose marker is gone by now is dropped.
    """

    settings: LoadSettings
    endpoints: Endpoints

    def expand(self, notifications: Any) -> Any:
        return notifications | "Look" >> beam.ParDo(_Look(self.settings, self.endpoints))


@dataclass
class _Look(beam.DoFn):
    settings: LoadSettings
    endpoints: Endpoints

    def setup(self) -> None:
        self._storage = self.endpoints.storage_client()

    def start_bundle(self) -> None:
        self._configs = ConfigFiles(self._storage)  # what was read for one bundle may be out of date for the next

    def process(self, notification: Notification) -> Iterator[Batch | Refused]:
        landing = landing_of(self._storage, notification.uri, self.settings.marker, self._configs)
        if landing is None:
            count("markers_gone")
        else:
            count("batches_found")
            yield resolve(landing, self.settings, self._configs)
