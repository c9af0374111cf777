"""What an output holds before a run: partitions with files, and what dead runs left behind."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from wharf.connectors.storage import PARALLEL, Storage
from wharf.model.errors import UsageError
from wharf.model.layout import SUCCESS_FILE, Replacement, replacement, staging_root
from wharf.model.partitions import parse_path
from wharf.model.windows import Window


@dataclass(frozen=True)
class OutputTree:
    """The partitions of `window` below `output`, with the names of their files."""

    output: str
    window: Window
    files: dict[str, list[str]]  # by partition path
    clocks: dict[str, str]  # by partition path: which part of its day the window covers, as `Span.clock`

    @classmethod
    def scan(cls, storage: Storage, output: str, window: Window) -> OutputTree:
        """List the window's partitions, month by month.

        Raises: UsageError if the output is out of reach.
        """
        days = {span.day: span.clock for span in window.spans}
        files: dict[str, list[str]] = defaultdict(list)
        clocks = {}
        for month in sorted({f"year={day.year:04d}/month={day.month:02d}/" for day in days}):
            for uri in storage.list(f"{output}/{month}"):
                path, _, name = uri[len(output) + 1 :].rpartition("/")
                partition = parse_path(path)
                if partition and partition.day in days:
                    files[path].append(name)
                    clocks[path] = days[partition.day]
        return cls(output, window, dict(files), clocks)

    def replacements(self) -> dict[str, Replacement]:
        """What the window means for each partition that has data files."""
        return {path: replacement(names, self.clocks[path]) for path, names in self.files.items()}

    def occupied(self, storage: Storage, dead: set[str]) -> set[str]:
        """Partitions that already hold rows of the window, by the word of a run that completed.

        Files that a run of `dead` (ids of runs that died) left in a partition do not count.
        """
        taken = {path for path, what in self.replacements().items() if what.replaced}
        if not dead:
            return taken

        def is_leftover(path: str) -> bool:
            if SUCCESS_FILE not in self.files[path]:
                return all(name.startswith("part-") for name in self.files[path])
            content = storage.read_all(f"{self.output}/{path}/{SUCCESS_FILE}") or b"{}"
            try:
                return json.loads(content or b"{}").get("export_id") in dead
            except ValueError:
                return False  # some other tool's marker

        with ThreadPoolExecutor(PARALLEL) as pool:
            leftover = dict(zip(sorted(taken), pool.map(is_leftover, sorted(taken)), strict=True))
        return {path for path in taken if not leftover[path]}

    def check_borders(self) -> None:
        """Make sure that no file holds rows both inside and outside the window.

        Raises: UsageError.
        """
        for path, what in sorted(self.replacements().items()):
            if what.in_the_way:
                raise UsageError(
                    f"{self.output}/{path}/{what.in_the_way[0]} holds more of its day than the window {self.window}: "
                    "export whole days, or the part of the day that the file holds"
                )


def staged_runs(storage: Storage, output: str) -> dict[str, list[str]]:
    """Runs that are at work or died, with the URIs of what they staged."""
    root = staging_root(output)
    staged: dict[str, list[str]] = defaultdict(list)
    for uri in storage.list(root):
        staged[uri[len(root) :].split("/")[0]].append(uri)
    return dict(staged)
