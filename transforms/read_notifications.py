"""Cloud Storage's notifications from a Pub/Sub subscription, and the grouping that hands each on at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage, ReadFromPubSub
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, Repeatedly
from apache_beam.transforms.window import GlobalWindows

from transforms.metrics import count
from wharf.model.loading.notifications import FINALIZED, parse

_LOG = logging.getLogger("wharf")
_LOCK = threading.Lock()
_logged: set[str] = set()


class Notified(NamedTuple):
    """What was announced."""

    markers: Any  # PCollection of Notification: a batch is complete
    released: Any  # PCollection of Notification: the file of `wait_for` was written


@dataclass
class ReadNotifications(beam.PTransform):
    """Announcements of complete batches below `prefix` (`gs://bucket/in/`) and of the file that all wait for.

    begin -> Notified. `marker` is the name of the files that complete a batch, or `none`: every file is one.
    Anything else is counted and dropped; a message that is no notification also gets one line in the log for each
    kind of mistake. Duplicates pass: Dataflow drops what Pub/Sub delivers again by its message id, while Cloud Storage
    may publish one event as two messages, and none of its attributes alone is the event's identity that `id_label`
    asks for. So the state table settles them.
    """

    subscription: str
    prefix: str
    marker: str = "_SUCCESS"
    wait_for: str | None = None

    def expand(self, begin: Any) -> Notified:
        sorted_out = (
            begin
            | "Receive" >> ReadFromPubSub(subscription=self.subscription, with_attributes=True)
            | "SortOut" >> beam.ParDo(_SortOut(self)).with_outputs("released", main="markers")
        )
        return Notified(sorted_out.markers, sorted_out.released)


@dataclass
class _SortOut(beam.DoFn):
    spec: ReadNotifications

    def process(self, message: PubsubMessage) -> Iterator[Any]:
        spec = self.spec
        try:
            notification = parse(message.attributes or {}, message.data or b"")
        except ValueError as error:
            count("messages_refused")
            _warn_once(f"a message of {spec.subscription} was dropped: {error}")
            return
        if notification.event == FINALIZED and notification.uri == spec.wait_for:
            yield beam.pvalue.TaggedOutput("released", notification)
        elif notification.completes(spec.prefix, spec.marker):
            count("markers_announced")
            yield notification
        else:
            count("notifications_ignored")


def _warn_once(text: str) -> None:
    """Log `text` if this process, with all its threads and copies of the DoFn, has not yet."""
    with _LOCK:
        is_new = text not in _logged
        _logged.add(text)
    if is_new:
        _LOG.warning(text)


class GroupBySlot(beam.PTransform):
    """(key, value) -> (key, values), with whatever has come so far and without waiting for more.

    A batch pipeline groups as it always does. Streaming, local runners keep a trigger by processing time back until
    another element comes; counting to one never waits, and values that come together still stay together.
    """

    def expand(self, pairs: Any) -> Any:
        return (
            pairs
            | "NeverWait"
            >> beam.WindowInto(
                GlobalWindows(),
                trigger=Repeatedly(AfterCount(1)),
                accumulation_mode=AccumulationMode.DISCARDING,
            )
            | "Group" >> beam.GroupByKey()
        )
