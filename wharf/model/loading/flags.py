"""files_to_bigquery: its flags."""

from __future__ import annotations

from wharf.model import patterns
from wharf.model.flags import Flag, grouped
from wharf.model.loading.load_document import ENCODINGS, FORMATS, GRANULARITIES, SCHEMA_UPDATE_OPTIONS, WRITE_MODES
from wharf.model.run_flags import ENDPOINTS, LEASE, PLAN

_CSV = ("auto", "CSV")
_LABEL = "[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}"
_UPDATE = "|".join(SCHEMA_UPDATE_OPTIONS)

FLAGS = (
    *grouped(
        "Files",
        Flag(
            name="input",
            help="the files to load, with ** for any folders; this or --subscription",
            example="gs://bucket/in/**",
            pattern=f"gs://{patterns.BUCKET}/[^\\x00-\\x1f]*",
            param_type="GCS_READ_FILE",
        ),
        Flag(
            name="subscription",
            help="the Pub/Sub subscription that Cloud Storage's notifications come from; a run of them has no end",
            example="projects/project/subscriptions/landed",
            pattern=patterns.SUBSCRIPTION,
            param_type="PUBSUB_SUBSCRIPTION",
        ),
        Flag(
            name="prefix",
            help="below it paths say what table files go to, by default below what comes before the first wildcard of "
            "--input; notifications of other objects are passed over",
            example="gs://bucket/in/",
            pattern=rf"gs://{patterns.BUCKET}(/[^*?\[\x00-\x1f]*)?",
            param_type="GCS_READ_FOLDER",
        ),
        Flag(
            name="success_file",
            help="the file that says its directory is complete; none: every file is a batch of its own",
            default="_SUCCESS",
            pattern=patterns.FILE_NAME,
        ),
        # No GCS_READ_FILE: it is not there yet.
        Flag(
            name="wait_for",
            help="nothing is loaded before this file exists, such as the last one of a historical delivery",
            example="gs://bucket/in/HISTORY_COMPLETE",
            pattern=patterns.OBJECT,
        ),
        Flag(
            name="wait_minutes",
            help="how long to wait for it",
            default="60",
            pattern=patterns.POSITIVE,
            param_type="NUMBER",
            parent="wait_for",
        ),
    ),
    *grouped(
        "Tables and times",
        Flag(
            name="destination_table",
            help="the table that everything goes to; by default paths name tables",
            example="project.dataset.table",
            pattern=patterns.TABLE,
            param_type="BIGQUERY_TABLE",
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
            pattern=patterns.TIME_FORMAT,
            parent="timestamp_regex",
        ),
        Flag(
            name="timestamp_column",
            help="the TIMESTAMP column that holds it: the table's partitioning and first clustering column",
            default="file_timestamp",
            pattern=patterns.COLUMN,
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
            pattern=f"{patterns.COLUMN}(,{patterns.COLUMN}){{0,2}}",
        ),
        Flag(
            name="partition_expiration_days",
            help="days after which partitions of a table that is not there are deleted",
            example="365",
            pattern=patterns.POSITIVE,
            param_type="NUMBER",
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
            pattern=f"{_LABEL}(,{_LABEL})*",
        ),
    ),
    *grouped(
        "Format",
        Flag(
            name="source_format",
            help="the files' format; auto: what their names end in says so",
            default="auto",
            choices=("auto", *FORMATS),
        ),
        Flag(
            name="field_delimiter",
            help="what separates CSV fields; tab may be written as tab",
            example=";",
            pattern=rf"tab|\\t|{patterns.BYTE}",
            parent="source_format",
            parent_values=_CSV,
        ),
        Flag(
            name="skip_leading_rows",
            help="lines of a CSV file before its rows",
            example="1",
            pattern=patterns.WHOLE,
            param_type="NUMBER",
            parent="source_format",
            parent_values=_CSV,
        ),
        Flag(
            name="quote",
            help="what surrounds CSV fields; none: nothing does",
            example="'",
            pattern=f"none|{patterns.BYTE}",
            parent="source_format",
            parent_values=_CSV,
        ),
        Flag(
            name="encoding",
            help="encoding of CSV and JSON",
            default="UTF-8",
            choices=ENCODINGS,
            parent="source_format",
            parent_values=(*_CSV, "NEWLINE_DELIMITED_JSON"),
        ),
        Flag(
            name="max_bad_records",
            help="rows of a load that may be bad before it fails; they are left out",
            example="10",
            pattern=patterns.WHOLE,
            param_type="NUMBER",
        ),
        Flag(
            name="ignore_unknown_values",
            help="leave out values that have no column instead of failing",
            is_switch=True,
        ),
    ),
    *grouped(
        "Loading",
        Flag(
            name="write_mode",
            help="what a batch does to the rows that are there: replace_partition replaces those of its own partition, "
            "merge those with the same --merge_keys",
            default="append",
            choices=WRITE_MODES,
        ),
        Flag(
            name="merge_keys",
            help="the columns that identify a row",
            example="order_id",
            pattern=patterns.COLUMNS,
            parent="write_mode",
            parent_values=("merge",),
        ),
        Flag(
            name="schema_update_options",
            help="how a batch may change the table: add nullable columns, make required ones nullable",
            example=",".join(SCHEMA_UPDATE_OPTIONS),
            pattern=f"({_UPDATE})(,({_UPDATE}))*",
        ),
        Flag(
            name="staging_dataset",
            help="the dataset that batches are loaded into before they reach the table, in the table's project; by "
            "default wharf_staging_ and the location",
            example="staging",
            pattern="[A-Za-z0-9_]+",
        ),
    ),
    # No BIGQUERY_TABLE: what is picked there has a project, and these may leave it to the run.
    *grouped(
        "Rejects and records",
        Flag(
            name="dead_letter_prefix",
            help="where the files of batches that failed are copied, with the reasons",
            example="gs://bucket/rejected",
            pattern=patterns.FOLDER,
            param_type="GCS_WRITE_FOLDER",
        ),
        Flag(
            name="dead_letter_table",
            help="where the reasons are recorded; by default the load-state table's name and _rejects",
            example="project.dataset.rejects",
            pattern=patterns.TABLE,
        ),
        Flag(
            name="load_state_table",
            help="where batches are recorded; by default BQ_LOAD_STATE_TABLE, or bigquery_loads.serverless_bq_loads",
            example="project.dataset.loads",
            pattern=patterns.TABLE,
        ),
        Flag(
            name="files_table",
            help="where files are recorded; by default the load-state table's name and _files",
            example="project.dataset.loaded_files",
            pattern=patterns.TABLE,
        ),
    ),
    *grouped(
        "The run",
        Flag(
            name="max_jobs",
            help="BigQuery jobs at work at once",
            default="100",
            pattern="[1-9][0-9]{0,3}",
            param_type="NUMBER",
        ),
        Flag(
            name="since",
            help="only batches that were complete at this time (UTC) or later",
            example="2025-03-01",
            pattern=patterns.DATE_OR_INSTANT,
            parent="input",
        ),
        Flag(
            name="until",
            help="only batches that were complete before this time (UTC)",
            example="2025-03-02T12:00",
            pattern=patterns.DATE_OR_INSTANT,
            parent="input",
        ),
        Flag(
            name="only",
            help="all batches that are not loaded, or those that failed",
            default="all",
            choices=("all", "failed"),
            parent="input",
        ),
        Flag(
            name="notifications",
            help="a JSON file that says who is told of loads",
            example="gs://bucket/notifications.json",
            remote=patterns.OBJECT,
            param_type="GCS_READ_FILE",
        ),
        LEASE,
        PLAN,
        *ENDPOINTS,
    ),
)
