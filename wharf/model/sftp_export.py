"""One export to an SFTP server, and the names of its files."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from wharf.model import templates
from wharf.model.errors import UsageError
from wharf.model.notification import Notifications

PLACEHOLDERS = ("export_name", "date", "datetime", "timestamp", "run_id", "shard", "shards")
ENDINGS = {"csv": "csv", "json": "jsonl", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet", "avro": "avro"}
_EVERY_RUN = {"datetime", "timestamp", "run_id"}  # placeholders that give each run names of its own


@dataclass(frozen=True, kw_only=True)
class SftpExport:
    """One export, complete and checked. What is empty or 0 is not asked for."""

    name: str
    enabled: bool = True
    source_table: str = ""  # project.dataset.table, or dataset.table in the configuration's project; this or query
    query: str = ""
    export_type: str = "full"  # or date_range, incremental
    date_column: str = ""
    days_lookback: int = 1
    timestamp_column: str = ""
    time_zone: str = "UTC"
    columns: tuple[str, ...] = ()
    row_restriction: str = ""
    format: str = "csv"  # or jsonl, parquet, avro
    delimiter: str = ","
    header: bool = True
    quoting: str = "minimal"  # or all, nonnumeric, none
    null_marker: str = ""
    compress: str = "none"  # or gzip
    max_rows_per_file: int = 0
    max_bytes_per_file: int = 0
    expiration_days: int = 7
    destination_filename: str  # template, with its ending
    directory: str = ""  # below the server's directory, without slashes at its ends
    when_empty: str = "send"  # or skip
    notifications: Notifications = field(default_factory=Notifications)

    @property
    def source(self) -> str:
        """What is read, for people."""
        return self.source_table or self.query

    @property
    def may_split(self) -> bool:
        """Whether a run may make several files."""
        return bool(self.max_rows_per_file or self.max_bytes_per_file)

    @property
    def path_template(self) -> str:
        """Directory and file name, as a template."""
        # A directory is no template: its braces are only braces.
        folder = self.directory.replace("{", "{{").replace("}", "}}")
        return f"{folder}/{self.destination_filename}" if folder else self.destination_filename

    def sql(self, date: dt.date) -> str:
        """`query` with `{date}` as YYYY-MM-DD; other braces belong to SQL."""
        return self.query.replace("{date}", date.isoformat())


def default_filename(*, format: str, compress: str, incremental: bool, may_split: bool) -> str:
    """The template of an export that has none: a name for each day, for each run where runs hold different rows."""
    moment = "{datetime}" if incremental else "{date}"
    shard = "_{shard}-of-{shards}" if may_split else ""
    return with_gz(f"{{export_name}}_{moment}{shard}.{format}", format=format, compress=compress)


def with_gz(template: str, *, format: str, compress: str) -> str:
    """`template` with the ending that tells of compression; Parquet and Avro compress inside their files."""
    wanted = compress == "gzip" and format in {"csv", "jsonl"} and not template.endswith(".gz")
    return f"{template}.gz" if wanted else template


def format_of(template: str) -> tuple[str, str]:
    """(format, compression) that the ending of a template tells, empty where it tells nothing."""
    plain = template.removesuffix(".gz")
    stem, dot, ending = plain.rpartition(".")
    return ENDINGS.get(ending.lower(), "") if dot and stem else "", "gzip" if plain != template else ""


def filename_mistake(template: str, *, may_split: bool, must_differ: bool) -> str:
    """What is wrong with a template, empty if nothing is.

    `may_split`: a run may make several files; `must_differ`: a run must not replace the files of the one before.
    """
    if wrong := templates.mistake(template, PLACEHOLDERS) or path_mistake(template):
        return wrong
    used = set(templates.fields(template))
    if may_split and "shard" not in used:
        return "several files of a run would get one name: add {shard} to it"
    if must_differ and not used & (_EVERY_RUN | {"date"}):
        return "each run would replace the rows that the one before sent: add {datetime}, or set delivery.overwrite"
    return ""


def is_shared_by_a_day(template: str) -> bool:
    """Whether two runs of one day give the same name."""
    return not _EVERY_RUN & set(templates.fields(template))


def path_mistake(path: str) -> str:
    """What is wrong with a path below a folder, empty if nothing is."""
    if any(not letter.isprintable() for letter in path) or "\\" in path:
        return "holds a backslash or a control character"
    if path.startswith("/"):
        return "must not begin with /: it is below the server's directory"
    if any(part.strip() in {"", ".", ".."} for part in path.split("/")):
        return "has an empty part, . or .. between its slashes"
    return ""


def file_names(export: SftpExport, run_moment: dt.datetime, date: dt.date, run_id: str, shards: int) -> list[str]:
    """The remote paths, below the server's directory, of a run's `shards` files.

    `run_moment` is aware; {datetime} is its wall clock in the export's time zone, {timestamp} its Unix seconds.
    {shard} counts from 1.

    Raises: UsageError if two files would get one name, or a name is not allowed.
    """
    local = run_moment.astimezone(ZoneInfo(export.time_zone))
    values = {
        "export_name": export.name,
        "date": date.isoformat(),
        "datetime": f"{local:%Y%m%d_%H%M%S}",
        "timestamp": str(int(run_moment.timestamp())),
        "run_id": run_id,
        "shards": f"{shards:05d}",
    }
    names = [templates.fill(export.path_template, values | {"shard": f"{n + 1:05d}"}) for n in range(shards)]
    if len(set(names)) < shards:
        raise UsageError(
            f"export {export.name}: {shards} files would all be {names[0]}: add {{shard}} to destination_filename"
        )
    if wrong := next(filter(None, map(path_mistake, names)), ""):
        raise UsageError(f"export {export.name}: the file name {names[0]!r} {wrong}")
    return names


def name_collisions(exports: list[SftpExport]) -> list[tuple[SftpExport, SftpExport]]:
    """Pairs of exports whose files may get the same names: the second one, and the first that has its template."""
    first: dict[str, SftpExport] = {}
    found = []
    for export in exports:
        path = templates.fill(export.path_template, {"export_name": export.name})
        if first.setdefault(path, export) is not export:
            found.append((export, first[path]))
    return found
