"""A landing becomes a batch that says what is loaded where and how, or an error that names directory and remedy."""

from __future__ import annotations

import datetime as dt
import pickle
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from wharf.connectors.loading.landings import ConfigFiles
from wharf.connectors.loading.resolve import resolve
from wharf.model.errors import UsageError
from wharf.model.loading.batch import Batch, LandedFile, Landing, Refused
from wharf.model.loading.flags import FLAGS
from wharf.model.loading.landing import landings, selected
from wharf.model.loading.settings import LoadSettings
from wharf.model.schema import TableId

NOW = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
ROOT = "gs://b/in/"


def settings(**flags: str) -> LoadSettings:
    values = {flag.name: flag.default or ("false" if flag.is_switch else "") for flag in FLAGS}
    values |= {"input": f"{ROOT}**"} | flags
    return LoadSettings.from_flags(values, project="p", state_table=None, now=NOW)


def landing(directory: str, *names: str, root: str = ROOT, empty: int = 0) -> Landing:
    files = tuple(LandedFile(f"{root}{directory}{name}", 10, 1, NOW) for name in sorted(names))
    return Landing(f"{root}{directory}", LandedFile(f"{root}{directory}_SUCCESS", 0, 1, NOW), files, empty)


def nothing_configured() -> ConfigFiles:
    """Knows that there is no `_config/` in the bucket, and so needs no client."""
    configs = ConfigFiles(None)
    configs.learn("gs://b/", [])
    return configs


def resolved(landed: Landing, **flags: str) -> Batch:
    batch = resolve(landed, settings(**flags), nothing_configured())
    assert isinstance(batch, Batch), batch
    return batch


def refused(landed: Landing, **flags: str) -> Refused:
    found = resolve(landed, settings(**flags), nothing_configured())
    assert isinstance(found, Refused), found
    assert found.landing is landed
    assert found.error.startswith(f"{landed.directory}: ")
    return found


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def names(batch: Batch) -> list[list[str]]:
    return [[file.uri.removeprefix(batch.directory) for file in part.files] for part in batch.parts]


def test_a_directory_becomes_one_part_of_the_table_that_its_path_names() -> None:
    batch = resolved(landing("sales/orders/2025/03/01/", "1.csv", "2.csv"))
    assert batch.table == TableId("p", "sales", "orders")
    (part,) = batch.parts
    assert (part.timestamp, part.replaces) == (at("2025-03-01"), (at("2025-03-01"), at("2025-03-02")))
    assert (part.constants, part.files) == ((), batch.files)
    assert batch.options.job_fields["sourceFormat"] == "CSV"
    assert (batch.schema, batch.transform, batch.ordered) == (None, "", False)


def test_a_given_table_needs_no_path() -> None:
    batch = resolved(landing("", "1.json"), destination_table="q.d.t")
    assert batch.table == TableId("q", "d", "t")
    assert [(part.timestamp, part.replaces) for part in batch.parts] == [(None, None)]


def test_a_dataset_in_a_path_may_have_its_project() -> None:
    assert resolved(landing("other-project.sales/orders/", "1.csv")).table == TableId(
        "other-project", "sales", "orders"
    )


def test_files_are_parted_by_time_and_columns_the_earliest_first() -> None:
    files = ("dt=2025-03-02/1.csv", "dt=2025-03-01/shop=eu/1.csv", "dt=2025-03-01/shop=us/1.csv")
    batch = resolved(landing("sales/orders/", "0.csv", *files, "dt=2025-03-01/shop=eu/2.csv"))
    assert names(batch) == [["0.csv"], [files[1], "dt=2025-03-01/shop=eu/2.csv"], [files[2]], [files[0]]]
    assert [part.constants for part in batch.parts] == [(), (("shop", "eu"),), (("shop", "us"),), ()]
    assert [part.timestamp and part.timestamp.day for part in batch.parts] == [None, 1, 1, 2]


def test_the_names_time_goes_before_the_folders_and_is_read_from_the_path_below_the_bucket() -> None:
    batch = resolved(
        landing("sales/orders/2025/03/01/", "a_202503010500.csv", "b_202503010630.csv"),
        timestamp_regex=r"in/.*_(\d{12})\.csv",
        timestamp_format="%Y%m%d%H%M",
    )
    assert [part.timestamp for part in batch.parts] == [at("2025-03-01T05:00"), at("2025-03-01T06:30")]
    assert {part.replaces for part in batch.parts} == {(at("2025-03-01"), at("2025-03-02"))}


def test_a_partition_folder_is_replaced_whatever_the_tables_granularity() -> None:
    batch = resolved(landing("sales/orders/$2025030105/", "1.csv"), partition_granularity="month")
    assert [part.replaces for part in batch.parts] == [(at("2025-03-01T05"), at("2025-03-01T06"))]


def test_the_tables_granularity_says_what_a_day_replaces() -> None:
    batch = resolved(landing("sales/orders/2025/03/01/", "1.csv"), partition_granularity="year")
    assert [part.replaces for part in batch.parts] == [(at("2025-03-01"), at("2025-03-02"))]
    batch = resolved(landing("sales/orders/2025/03/", "1.csv"), partition_granularity="hour")
    assert [part.replaces for part in batch.parts] == [(at("2025-03-01"), at("2025-03-01T01"))]


def test_a_file_can_be_a_batch_of_its_own() -> None:
    file = LandedFile(f"{ROOT}sales/orders/dt=2025-03-01/1.parquet", 10, 1, NOW)
    batch = resolved(Landing(file.uri, file, (file,)), success_file="none")
    assert batch.table == TableId("p", "sales", "orders")
    assert [part.timestamp for part in batch.parts] == [at("2025-03-01")]
    assert batch.options.job_fields["sourceFormat"] == "PARQUET"


def test_a_narrower_pattern_with_a_prefix_leads_to_the_same_batch() -> None:
    landed = landing("sales/orders/shop=eu/dt=2025-03-01/", "1.csv")
    narrow = {"input": f"{ROOT}sales/orders/shop=eu/dt=2025-03-01/**"}
    for prefix in (ROOT, ROOT.rstrip("/")):
        assert resolved(landed, **narrow, prefix=prefix) == resolved(landed)
    given = {"destination_table": "p.d.t"}
    assert resolved(landed, **narrow, **given) == resolved(landed, **given)


def test_a_named_format_goes_before_endings() -> None:
    batch = resolved(landing("sales/orders/", "1.dat", "2.json"), source_format="CSV")
    assert batch.options.job_fields["sourceFormat"] == "CSV"


def test_batches_that_say_the_same_have_options_that_are_equal_and_can_travel() -> None:
    one, other = (resolved(landing(f"sales/orders/2025/03/{day}/", "1.csv")) for day in ("01", "02"))
    assert one.options == other.options
    assert pickle.loads(pickle.dumps(one)) == one


def test_without_data_the_directory_is_refused_and_its_table_still_known() -> None:
    found = refused(landing("sales/orders/x/", empty=3))
    assert "holds no data but 3 empty files: deliver the files, then the marker again" in found.error
    assert found.table == TableId("p", "sales", "orders")
    assert "holds no data:" in refused(landing("sales/orders/x/")).error


@pytest.mark.parametrize(
    ("landed", "flags", "text"),
    [
        (landing("x/", "1.csv"), {}, "'x/1.csv', below in/, does not match --destination_regex"),
        (landing("a-b/orders/", "1.csv"), {}, "a-b.orders cannot be a table's name: rename the folders"),
        (landing("sales/or`ders/", "1.csv"), {}, "cannot be a table's name"),
        (landing("sales/", "a/1.csv", "b/1.csv"), {}, f"different tables: sales.a ({ROOT}sales/a/1.csv), sales.b ("),
        (landing("a/b/", "1.csv", root="gs://b/out/"), {}, "lies outside of --prefix gs://b/in/"),
        (landing("a/b/", "1.csv", root="gs://b/in2/"), {"prefix": "gs://b/in"}, "lies outside of --prefix gs://b/in/"),
        (landing("dt=x/", "1.csv"), {"destination_table": "p.d.t"}, "the folder dt=x is no date"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_the_remedy(landed: Landing, flags: dict, text: str) -> None:
    assert text in refused(landed, **flags).error


@pytest.mark.parametrize(
    ("directory", "files", "flags", "text"),
    [
        ("$20250399/", ["1.csv"], {}, "2025/03/99 is no date"),
        ("x/", ["1.csv", "2.json"], {}, "different formats: CSV ("),
        ("x/", ["1.csv", "2.dat"], {}, "2.dat does not tell its format: rename it, or say it with --source_format"),
        ("x/", ["1.avro.gz"], {}, "1.avro.gz: BigQuery reads gzip of CSV and JSON only"),
        ("File_Timestamp=1/", ["1.csv"], {}, "choose another --timestamp_column"),
        ("x/", ["1.csv"], {"timestamp_regex": r"(\d{8})", "timestamp_format": "%Y%m%d"}, "finds no time in"),
        (
            "$20250301/",
            ["20250302.csv"],
            {"timestamp_regex": r"/(\d{8})\.", "timestamp_format": "%Y%m%d"},
            "the file's name says 2025-03-02T00:00:00, and the folder $20250301 contradicts it",
        ),
    ],
)
def test_data_that_cannot_be_loaded_is_refused_and_its_table_named(
    directory: str, files: list[str], flags: dict, text: str
) -> None:
    found = refused(landing(f"sales/orders/{directory}", *files), **flags)
    assert found.table == TableId("p", "sales", "orders")
    assert text in found.error


@pytest.fixture
def place(stack) -> tuple[str, Callable[..., None], ConfigFiles]:
    """A prefix of the test's own, what writes below it, and a reader of its `_config/`."""
    client: Any = stack.endpoints.storage_client()
    root = f"{uuid.uuid4().hex}/"

    def put(name: str, content: str | bytes) -> None:
        client.bucket(stack.bucket).blob(root + name).upload_from_string(content)

    return f"gs://{stack.bucket}/{root}", put, ConfigFiles(client)


def test_config_files_of_the_directory_and_its_parents_are_brought_together(place) -> None:
    root, put, configs = place
    put("_config/load.json", '{"fieldDelimiter": ";", "skipLeadingRows": 2, "writeMode": "replace_partition"}')
    put("sales/orders/_config/load.json", '{"fieldDelimiter": "|", "timePartitioning": {"type": "HOUR"}}')
    put("sales/orders/_config/schema.json", '\ufeff[{"name": "id", "type": "INTEGER", "mode": "REQUIRED"}]')
    put("sales/_config/bq_transform.sql", "SELECT * FROM temp_ext")
    put("sales/_config/ORDERME", "")
    batch = resolve(landing("sales/orders/2025/03/01/", "1.csv", root=root), settings(input=f"{root}**"), configs)
    assert isinstance(batch, Batch)
    fields = batch.options.job_fields
    assert (fields["fieldDelimiter"], fields["skipLeadingRows"], fields["sourceFormat"]) == ("|", 2, "CSV")
    assert batch.options.write_mode == "replace_partition"
    assert [part.replaces for part in batch.parts] == [(at("2025-03-01"), at("2025-03-01T01"))]
    assert batch.schema is not None
    assert [(field.name, field.type, field.mode) for field in batch.schema] == [("id", "INT64", "REQUIRED")]
    assert (batch.transform, batch.ordered) == ("SELECT * FROM temp_ext", True)


def test_the_granularity_of_load_json_says_what_is_replaced(place) -> None:
    root, put, configs = place
    put(
        "_config/load.json",
        '{"timePartitioning": {"type": "MONTH"}, "schema": {"fields": [{"name": "x", "type": "STRING"}]}}',
    )
    put("sales/_config/load.json", '{"schema": {"fields": [{"name": "id", "type": "STRING"}]}}')
    given = settings(input=f"{root}**", timestamp_regex=r"(\d{8})\.csv", timestamp_format="%Y%m%d")
    batch = resolve(landing("sales/orders/", "20250305.csv", root=root), given, configs)
    assert isinstance(batch, Batch)
    assert [part.replaces for part in batch.parts] == [(at("2025-03-01"), at("2025-04-01"))]
    assert batch.schema is not None
    assert [field.name for field in batch.schema] == ["id"]


def test_write_truncate_means_the_partition_where_every_file_has_a_time(place) -> None:
    root, put, configs = place
    put("_config/load.json", '{"writeDisposition": "WRITE_TRUNCATE"}')
    modes = [
        resolve(landing("sales/orders/", *files, root=root), settings(input=f"{root}**"), configs).options.write_mode
        for files in (["dt=2025-03-01/1.csv"], ["1.csv"], ["dt=2025-03-01/1.csv", "1.csv"])
    ]
    assert modes == ["replace_partition", "replace_table", "replace_table"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("load.json", "{", "load.json: line 1, column 2: this is not JSON"),
        ("load.json", '{"skipLeadingRow": 1}', "skipLeadingRows"),
        ("load.json", b"\xff\xfe{", "load.json is not UTF-8: save it so"),
        ("schema.json", '[{"name": "id"}]', "schema.json"),
        ("bq_transform.sql", b"SELECT '\xe5'", "bq_transform.sql is not UTF-8: save it so"),
    ],
)
def test_a_config_file_with_a_mistake_refuses_the_batches_below_it(place, name, content, text) -> None:
    root, put, configs = place
    put(f"sales/_config/{name}", content)
    given = settings(input=f"{root}**")
    found = resolve(landing("sales/orders/", "1.csv", root=root), given, configs)
    assert isinstance(found, Refused)
    assert found.error.startswith(f"{root}sales/orders/: ")
    assert text in found.error
    assert isinstance(resolve(landing("other/orders/", "1.csv", root=root), given, configs), Batch)


def test_trouble_with_cloud_storage_is_nobodys_refusal(stack) -> None:
    root = "gs://no-such-bucket/in/"
    with pytest.raises(UsageError, match="the bucket does not exist"):
        resolve(
            landing("sales/orders/", "1.csv", root=root),
            settings(input=f"{root}**"),
            ConfigFiles(stack.endpoints.storage_client()),
        )


def test_a_thousand_directories_are_resolved_in_well_under_a_second() -> None:
    files = [
        LandedFile(f"{ROOT}d{number % 20}/t/2025/03/{number % 28 + 1:02d}/batch{number}/{name}", 10, 1, NOW)
        for number in range(1_000)
        for name in ("1.csv", "2.csv", "3.csv", "_SUCCESS")
    ]
    configs, given = nothing_configured(), settings()
    began = time.process_time()
    found = [each for each in landings(files, "_SUCCESS", ROOT) if selected(each, given.pattern)]
    batches = [resolve(each, given, configs) for each in found]
    spent = time.process_time() - began
    assert len({batch.directory for batch in batches if isinstance(batch, Batch)}) == 1_000
    assert spent < 1
