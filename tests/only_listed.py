"""Runs `wharf` as if nothing were installed but what a lock file lists: `only_listed.py LOCK TOLD [ARGUMENT ...]`.

When it ends it writes to the file TOLD which distributions it has imported from, as JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any


def normal(name: str) -> str:
    """A distribution's name as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(lock: Path) -> set[str]:
    """The distributions in a lock file."""
    return {normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(), re.MULTILINE)}


class OnlyListed:
    """Finds modules as Python does, except those of distributions that are installed and not listed."""

    def __init__(self, names: set[str]) -> None:
        self.owners = {
            str(distribution.locate_file(file)): normal(distribution.metadata["Name"])
            for distribution in importlib.metadata.distributions()
            for file in distribution.files or ()
            if file.suffix in {".py", ".so"}
        }
        self._names = names
        self._before = set(sys.modules)  # what Python's start has imported

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target)
        owner = self.owners.get(spec.origin or "") if spec else None
        if owner and owner not in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec

    def imported(self) -> set[str]:
        """The distributions whose modules this process has."""
        modules = [module for name, module in list(sys.modules.items()) if name not in self._before]
        files = [getattr(module, "__file__", None) or "" for module in modules]
        return {self.owners[file] for file in files if file in self.owners}


def main() -> Any:
    lock, told, *arguments = sys.argv[1:]
    finder = OnlyListed(listed(Path(lock)))
    sys.meta_path.insert(sys.meta_path.index(PathFinder), finder)
    from wharf.launch.cli import main as wharf

    code = wharf(arguments)
    Path(told).write_text(json.dumps(sorted(finder.imported())))
    return code


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.exit(main())
