"""bigquery_to_avro: its flags."""

from __future__ import annotations

from wharf.model.flags import Flag, grouped
from wharf.model.patterns import COLUMN, COLUMNS, DATASET, FOLDER, INSTANT, MONTH, NAME, SQL, TABLE, TIME_ZONE
from wharf.model.run_flags import ENDPOINTS, LEASE, PLAN

FLAGS = (
    *grouped(
        "Source and destination",
        Flag(
            name="source_table",
            help="the table to export, read directly; this or --query",
            example="project.dataset.table",
            pattern=TABLE,
            param_type="BIGQUERY_TABLE",
        ),
        Flag(
            name="query",
            help="SQL to export instead: materialised in --temp_dataset, dropped at the end",
            example="SELECT * FROM d.t WHERE valid",
            pattern=SQL,
            label="SQL query",
        ),
        Flag(
            name="temp_dataset",
            help="where --query is materialised, for a day at most",
            example="project.dataset",
            pattern=DATASET,
            label="Temporary dataset",
            parent="query",
        ),
        Flag(
            name="output",
            help="where the files go, one export to an output",
            example="gs://bucket/prefix",
            remote=FOLDER,
            param_type="GCS_WRITE_FOLDER",
            required=True,
        ),
    ),
    *grouped(
        "Window",
        Flag(
            name="when_read_from",
            help="first wall-clock time of the window",
            example="2025-03-01T00:00:00",
            pattern=INSTANT,
        ),
        Flag(
            name="when_read_to",
            help="first wall-clock time after the window",
            example="2025-03-08T00:00:00",
            pattern=INSTANT,
        ),
        Flag(
            name="period",
            help="a calendar month as the window; with no window at all, the previous month",
            example="202503",
            pattern=MONTH,
        ),
        Flag(
            name="time_zone",
            help="where days begin and end",
            default="UTC",
            example="Europe/Berlin",
            pattern=TIME_ZONE,
        ),
    ),
    *grouped(
        "Rows and columns",
        Flag(
            name="date_column",
            help="TIMESTAMP, DATETIME or DATE column that window, year, month and day come from",
            default="when_read",
            pattern=COLUMN,
        ),
        Flag(
            name="vendor_column",
            help="STRING or INT64 column that the vendor comes from",
            default="vendor",
            pattern=COLUMN,
        ),
        Flag(
            name="columns",
            help="columns to export, all by default; pushed down to the read session",
            example="when_read,vendor,value",
            pattern=COLUMNS,
        ),
        Flag(
            name="row_restriction",
            help="a further SQL condition on the rows; pushed down to the read session",
            example="value > 0",
        ),
    ),
    *grouped(
        "Files",
        Flag(
            name="codec",
            help="compression of the Avro blocks",
            default="snappy",
            choices=("snappy", "deflate", "zstandard", "null"),
        ),
        Flag(
            name="partition_columns",
            help="whether date and vendor columns stay in the files; an external table wants them dropped",
            default="keep",
            choices=("keep", "drop"),
        ),
        Flag(
            name="write_mode",
            help="what happens to a partition that already has files",
            default="overwrite",
            choices=("overwrite", "skip", "fail"),
        ),
        Flag(
            name="target_file_bytes",
            help="files of a partition are cut near this size",
            default="268435456",
            pattern="[1-9][0-9]{3,12}",
            param_type="NUMBER",
        ),
    ),
    *grouped(
        "Records",
        # No BIGQUERY_TABLE: what is picked there has a project, which this default leaves to the run.
        Flag(
            name="metadata_table",
            help="where runs are recorded; made if missing",
            default="wharf.exports",
            example="project.dataset.table",
            pattern=TABLE,
        ),
        Flag(
            name="files_table",
            help="where files are recorded; by default the metadata table's name and _files",
            example="project.dataset.table",
            pattern=TABLE,
        ),
        Flag(
            name="export_name",
            help="the name runs are recorded under; by default the table's",
            example="measurements",
            pattern=NAME,
        ),
    ),
    *grouped(
        "The run",
        LEASE,
        Flag(name="force", help="take the window over from a run that is still recorded as running", is_switch=True),
        PLAN,
        *ENDPOINTS,
    ),
)
