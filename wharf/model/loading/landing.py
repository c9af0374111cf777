"""Which of the files under a prefix are data, and which directories are complete.

    in/sales/orders/2025-03-01/part-0.csv      data of the batch below
    in/sales/orders/2025-03-01/eu/part-0.csv   the same, as eu/ has no marker of its own
    in/sales/orders/2025-03-01/_tmp/part-9     no data: hidden, as all that begins with an underscore or a dot
    in/sales/orders/2025-03-01/_SUCCESS        the marker: the directory is a batch

Names are URIs, `gs://bucket/name`; those of directories end in a slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from wharf.model.errors import UsageError
from wharf.model.loading.batch import LandedFile, Landing

NO_MARKER = "none"  # in place of a marker's name: every file is a batch of its own
_WILDCARD = re.compile(r"(?<=/)\*\*/|\*\*|[*?]|\[[!^]?\]?[^]]*\]")
_MEANS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def landings(files: Iterable[LandedFile], marker: str, prefix: str = "") -> list[Landing]:
    """The complete directories among `files`, sorted; one without data is among them, its `files` empty.

    A batch is the directory of its marker, with all data below it that no nearer directory with a marker owns. Names
    are hidden by an underscore or a dot anywhere below `prefix`, which ends in `/`.
    """
    markers: dict[str, LandedFile] = {}
    data: dict[str, list[LandedFile]] = {}
    for file in files:
        directory, name = split(file.uri)
        if name == marker:
            markers[directory] = file
        elif name and not name.startswith(("_", ".")):
            data.setdefault(directory, []).append(file)
    hidden = {directory for directory in markers.keys() | data.keys() if is_hidden(directory, prefix)}
    if marker == NO_MARKER:
        single = [file for directory in data.keys() - hidden for file in data[directory] if file.bytes]
        return [Landing(file.uri, file, (file,)) for file in sorted(single, key=_by_uri)]

    owned: dict[str, list[LandedFile]] = {directory: [] for directory in markers.keys() - hidden}
    for directory in data.keys() - hidden:
        owner = next((above for above in parents(directory) if above in owned), None)
        if owner:
            owned[owner] += data[directory]
    found = []
    for directory in sorted(owned):
        full = sorted((file for file in owned[directory] if file.bytes), key=_by_uri)
        found.append(Landing(directory, markers[directory], tuple(full), len(owned[directory]) - len(full)))
    return found


def selected(landing: Landing, pattern: str) -> bool:
    """Whether a pattern means a batch: by its directory, its marker or any of its data. The batch is whole then."""
    names = (landing.directory.rstrip("/"), landing.marker.uri, *(file.uri for file in landing.files))
    return any(matches(pattern, name) for name in names)


def fixed_prefix(pattern: str) -> str:
    """The directory that everything a pattern matches is in: `gs://b/in/` of `gs://b/in/2025-*/**`.

    Raises: UsageError if it names no bucket, or is not understood.
    """
    _expression(pattern)
    fixed = _WILDCARD.split(pattern, maxsplit=1)[0]
    directory, _ = split(fixed)
    if not re.match(r"gs://[^/]+/", directory):
        raise UsageError(f"--input: {pattern!r} names no bucket: write one like gs://bucket/prefix/**")
    return directory


def matches(pattern: str, uri: str) -> bool:
    """Whether a name matches a pattern of gsutil's and Beam's: `*` and `?` stay within a directory, `**` does not.

    `[a-z]` and `[!a-z]` are sets of characters. `/**/` may be a single slash, and a pattern that ends in a slash means
    what is right in that directory, as if it ended in `/*`.
    """
    return _expression(pattern).fullmatch(uri) is not None


def split(uri: str) -> tuple[str, str]:
    """A URI's directory, with its slash, and the name in it."""
    directory, slash, name = uri.rpartition("/")
    return directory + slash, name


def parents(directory: str) -> Iterator[str]:
    """A directory and those above it, up to the bucket's root: `gs://b/a/`, `gs://b/`."""
    root = directory.index("/", len("gs://")) + 1
    while len(directory) >= root:
        yield directory
        directory = directory[: directory.rindex("/", 0, -1) + 1]


def is_hidden(directory: str, prefix: str) -> bool:
    """Whether a directory, or one between it and `prefix`, begins with an underscore or a dot."""
    return any(part.startswith(("_", ".")) for part in directory.removeprefix(prefix).split("/"))


def _by_uri(file: LandedFile) -> str:
    return file.uri


@lru_cache
def _expression(pattern: str) -> re.Pattern[str]:
    if pattern.endswith("/"):
        pattern += "*"
    text, position = "", 0
    for wildcard in _WILDCARD.finditer(pattern):
        text += re.escape(pattern[position : wildcard.start()])
        position = wildcard.end()
        text += _translated(wildcard[0])
    text += re.escape(pattern[position:])
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise UsageError(f"--input: {pattern!r} is not understood: {error}") from error


def _translated(wildcard: str) -> str:
    if not wildcard.startswith("["):
        return _MEANS[wildcard]
    negated = wildcard[1] in "!^"
    members = re.sub(r"([\\\[\]^])", r"\\\1", wildcard[1 + negated : -1])
    return f"(?!/)[^{members}]" if negated else f"[{members}]"
