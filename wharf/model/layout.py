"""Where everything of an export is, below its output.

    year=2025/month=03/day=23/vendor=acme/part-00000-of-00002.avro       rows of a whole day
    year=.../part-060000-120000-00000-of-00001.avro                      rows of a part of a day
    year=.../_SUCCESS                                                    the partition is complete
    _manifests/<export_id>.json                                          the run is complete
    _staging/<export_id>/run.json, spill-*, staged-*                     a run at work, or one that died

Readers of Hive-style trees pass over names that begin with an underscore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from wharf.model.windows import Window

SUCCESS_FILE = "_SUCCESS"
_PART = re.compile(r"^part-(?:(\d{6}-\d{6})-)?\d{5}-of-\d{5}\.avro$")
_WHOLE_DAY = "000000-240000"


class Replacement(NamedTuple):
    """What a run does to the files a partition has."""

    replaced: list[str]
    kept: list[str]
    in_the_way: list[str]  # hold rows of the window and rows outside it: neither can be kept nor replaced


@dataclass(frozen=True)
class Layout:
    """The places of one run; `output` has no slash at its end."""

    output: str
    export_id: str

    @property
    def staging(self) -> str:
        return f"{self.output}/_staging/{self.export_id}"

    @property
    def note(self) -> str:
        """Written first and removed last: marks a run that is at work or died."""
        return f"{self.staging}/run.json"

    @property
    def manifest(self) -> str:
        return f"{self.output}/_manifests/{self.export_id}.json"

    def folder(self, partition: str) -> str:
        return f"{self.output}/{partition}"


def staging_root(output: str) -> str:
    return f"{output}/_staging/"


def manifest_prefix(output: str, export_name: str, window: Window) -> str:
    """What the manifests of all runs of one window begin with."""
    return f"{output}/_manifests/{run_prefix(export_name, window)}"


def run_prefix(export_name: str, window: Window) -> str:
    """What the ids of all runs of one window begin with."""
    return f"{export_name}-{_compact(window.start)}-{_compact(window.end)}-"


def part_name(clock: str, shard: int, shards: int) -> str:
    """The name of a data file; `clock` is `Span.clock`."""
    return f"part-{clock}{'-' if clock else ''}{shard:05d}-of-{shards:05d}.avro"


def replacement(names: Iterable[str], clock: str) -> Replacement:
    """Sort a partition's file names by what rows of the part of its day called `clock` mean for them.

    A file that no export named this way is taken to hold rows of the whole day.
    """
    start, end = (clock or _WHOLE_DAY).split("-")
    result = Replacement([], [], [])
    for name in names:
        if name.startswith(("_", ".")):
            continue
        match = _PART.match(name)
        its_start, its_end = ((match and match[1]) or _WHOLE_DAY).split("-")
        if start <= its_start and its_end <= end:
            result.replaced.append(name)
        elif its_end <= start or end <= its_start:
            result.kept.append(name)
        else:
            result.in_the_way.append(name)
    return result


def _compact(moment: object) -> str:
    return str(moment).replace("-", "").replace(":", "").replace(" ", "T")
