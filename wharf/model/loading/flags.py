"""files_to_bigquery: its flags."""

from __future__ import annotations

from wharf.model.flags import Flag
from wharf.model.loading.load_document import ENCODINGS, FORMATS, GRANULARITIES, SCHEMA_UPDATE_OPTIONS, WRITE_MODES
from wharf.model.run_flags import ENDPOINTS, LEASE, PLAN

_COLUMN = r"[^\s,.`]+"
_COLUMNS = rf"{_COLUMN}(,{_COLUMN})*"
_TABLE = r"([A-Za-z0-9.:_-]+[.:])?[A-Za-z0-9_]+\.[^\s`/:.]+"
_NUMBER = r"0|[1-9]\d{0,8}"
_POSITIVE = r"[1-9]\d{0,8}"
_OBJECT = r"gs://[^/]+/.*"
_INSTANT = r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?"
_LABEL = r"[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}"
_UPDATE = "|".join(SCHEMA_UPDATE_OPTIONS)

FLAGS = (
    Flag(
        name="input",
        help="the files to load, with ** for any folders; this or --subscription",
        example="gs://bucket/in/**",
        pattern=_OBJECT,
    ),
    Flag(
        name="subscription",
        help="the Pub/Sub subscription that Cloud Storage's notifications come from, with --streaming",
        example="projects/project/subscriptions/landed",
        pattern=r"projects/[^/]+/subscriptions/[^/]+",
    ),
    Flag(
        name="prefix",
        help="below it paths say what table files go to, by default below what comes before the first wildcard of "
        "--input; notifications of other objects are passed over",
        example="gs://bucket/in/",
        pattern=r"gs://[^/*?\[]+(/[^*?\[]*)?",
    ),
    Flag(
        name="success_file",
        help="the file that says its directory is complete; none: every file is a batch of its own",
        default="_SUCCESS",
        pattern=r"[^/\s]+",
    ),
    Flag(
        name="wait_for",
        help="nothing is loaded before this file exists, such as the last one of a historical delivery",
        example="gs://bucket/in/HISTORY_COMPLETE",
        pattern=_OBJECT,
    ),
    Flag(name="wait_minutes", help="how long to wait for it", default="60", pattern=_POSITIVE),
    Flag(
        name="destination_table",
        help="the table that everything goes to; by default paths name tables",
        example="project.dataset.table",
        pattern=_TABLE,
    ),
    Flag(
        name="destination_regex",
        help="how paths name tables: groups named dataset, table, partition, yyyy, mm, dd, hh, batch; by default "
        "dataset/table/[historical|incremental]/[$partition]/[yyyy/mm/dd/hh]/[batch]/ and key=value folders",
        example=r"(?P<dataset>[^/]+)/(?P<table>[^/]+)/(?P<batch>[^/]+)/",
    ),
    Flag(
        name="timestamp_regex",
        help="the part of an object's path that is its rows' time: a regular expression with one group",
        example=r"_(\d{10})\.csv",
    ),
    Flag(
        name="timestamp_format",
        help="how --timestamp_regex's text is read, in the codes of strptime; UTC where it has no zone",
        example="%Y%m%d%H",
    ),
    Flag(
        name="timestamp_column",
        help="the TIMESTAMP column that holds it: the table's partitioning and first clustering column",
        default="file_timestamp",
        pattern=_COLUMN,
    ),
    Flag(
        name="partition_granularity",
        help="how a table that is not there is partitioned, and what one re-delivery replaces",
        default="day",
        choices=GRANULARITIES,
    ),
    Flag(
        name="clustering",
        help="up to three columns that a table that is not there is clustered by, behind the timestamp",
        example="carrier,origin",
        pattern=_COLUMNS,
    ),
    Flag(
        name="partition_expiration_days",
        help="days after which partitions of a table that is not there are deleted",
        example="365",
        pattern=_POSITIVE,
    ),
    Flag(
        name="require_partition_filter",
        help="whether queries of a table that is not there must name partitions",
        is_switch=True,
    ),
    Flag(
        name="table_labels",
        help="labels of a table that is not there",
        example="team=sales,source=shop",
        pattern=rf"{_LABEL}(,{_LABEL})*",
    ),
    Flag(
        name="source_format",
        help="the files' format; auto: what their names end in says so",
        default="auto",
        choices=("auto", *FORMATS),
    ),
    Flag(name="field_delimiter", help="what separates CSV fields; tab may be written as tab", example=";"),
    Flag(name="skip_leading_rows", help="lines of a CSV file before its rows", example="1", pattern=_NUMBER),
    Flag(name="quote", help="what surrounds CSV fields; none: nothing does", example="'"),
    Flag(name="encoding", help="encoding of CSV and JSON", default="UTF-8", choices=ENCODINGS),
    Flag(
        name="max_bad_records",
        help="rows of a load that may be bad before it fails; they are left out",
        example="10",
        pattern=_NUMBER,
    ),
    Flag(
        name="ignore_unknown_values",
        help="leave out values that have no column instead of failing",
        is_switch=True,
    ),
    Flag(
        name="write_mode",
        help="what a batch does to the rows that are there: replace_partition replaces those of its own partition, "
        "merge those with the same --merge_keys",
        default="append",
        choices=WRITE_MODES,
    ),
    Flag(name="merge_keys", help="the columns that identify a row", example="order_id", pattern=_COLUMNS),
    Flag(
        name="schema_update_options",
        help="how a batch may change the table: add nullable columns, make required ones nullable",
        example=",".join(SCHEMA_UPDATE_OPTIONS),
        pattern=rf"({_UPDATE})(,({_UPDATE}))*",
    ),
    Flag(
        name="staging_dataset",
        help="the dataset that batches are loaded into before they reach the table, in the table's project; by default "
        "wharf_staging_ and the location",
        example="staging",
        pattern=r"[A-Za-z0-9_]+",
    ),
    Flag(
        name="dead_letter_prefix",
        help="where the files of batches that failed are copied, with the reasons",
        example="gs://bucket/rejected",
        pattern=r"gs://[^/]+(/.*)?",
    ),
    Flag(
        name="dead_letter_table",
        help="where the reasons are recorded; by default the load-state table's name and _rejects",
        example="project.dataset.rejects",
        pattern=_TABLE,
    ),
    Flag(
        name="load_state_table",
        help="where batches are recorded; by default BQ_LOAD_STATE_TABLE, or bigquery_loads.serverless_bq_loads",
        example="project.dataset.loads",
        pattern=_TABLE,
    ),
    Flag(
        name="files_table",
        help="where files are recorded; by default the load-state table's name and _files",
        example="project.dataset.loaded_files",
        pattern=_TABLE,
    ),
    Flag(name="max_jobs", help="BigQuery jobs at work at once", default="100", pattern=r"[1-9]\d{0,3}"),
    Flag(
        name="since",
        help="only batches that were complete at this time (UTC) or later",
        example="2025-03-01",
        pattern=_INSTANT,
    ),
    Flag(
        name="until",
        help="only batches that were complete before this time (UTC)",
        example="2025-03-02T12:00",
        pattern=_INSTANT,
    ),
    Flag(
        name="only",
        help="all batches that are not loaded, or those that failed",
        default="all",
        choices=("all", "failed"),
    ),
    Flag(
        name="notifications",
        help="a JSON file that says who is told of loads: a path or gs://",
        example="gs://bucket/notifications.json",
    ),
    LEASE,
    PLAN,
    *ENDPOINTS,
)
