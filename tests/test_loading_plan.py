"""Which batches go together, in which load jobs and statements."""

from __future__ import annotations

import dataclasses
import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from wharf.model.loading import plan
from wharf.model.loading.batch import Batch, LandedFile, Landing, Part
from wharf.model.loading.options import LoadOptions
from wharf.model.schema import TableId

DAY = dt.timedelta(days=1)
TABLE = TableId("p", "d", "t")


def at(day: int) -> dt.datetime:
    return dt.datetime(2025, 3, day, tzinfo=dt.UTC)


def make(name: str, days: tuple[int, ...] = (1,), files: int = 2, size: int = 10, **more) -> Batch:
    """A batch with so many files of each day."""
    directory = f"gs://b/in/d/t/{name}/"

    def file(path: str) -> LandedFile:
        return LandedFile(directory + path, size, 1, at(1))

    parts = tuple(
        Part(at(day), (at(day), at(day) + DAY), (), tuple(file(f"{day}-{n}.csv") for n in range(files))) for day in days
    )
    landing = Landing(directory, file("_SUCCESS"), tuple(f for part in parts for f in part.files))
    options = LoadOptions(write_mode=more.pop("mode", "append"), merge_keys=more.pop("keys", ()))
    options = options.with_fields(sourceFormat="CSV", **more.pop("fields", {}))
    batch = Batch(landing, TABLE, parts, options, None, more.pop("transform", ""), ordered=False)
    assert not more
    return batch


def seen(batches, when: dt.datetime = dt.datetime(2025, 3, 20, tzinfo=dt.UTC)) -> dict[str, dt.datetime]:
    return {batch.batch_id: when for batch in batches}


def loads(batches: list[Batch], *limits: int) -> list[plan.Load]:
    return plan.loads(batches, seen(batches), *limits)


def statement_identity(batches: list[Batch], former: list[str]) -> str:
    return plan.statement_identity(batches, seen(batches), former)


def names(waves: list[list[Batch]]) -> list[str]:
    return [" ".join(batch.directory.split("/")[-2] for batch in wave) for wave in waves]


def test_batches_that_are_appended_go_together_and_share_the_jobs_of_their_days():
    batches = [make(f"b{n:03}", days=(1 + n % 3,)) for n in range(90)]

    assert len(plan.waves(batches)) == 1
    found = loads(batches)
    assert [len(load.files) for load in found] == [60, 60, 60]
    assert {load.part.timestamp for load in found} == {at(1), at(2), at(3)}
    assert all(len(load.batches) == 30 for load in found)


def test_a_statement_names_so_many_staging_tables_and_no_more():
    batches = [make(f"b{n:03}", days=tuple(range(1, 11)), mode="merge", keys=("id",)) for n in range(600)]
    waves = plan.waves(batches)
    assert [len(wave) for wave in waves] == [25] * 24
    assert all(len(loads(wave)) <= plan.MOST_STAGED for wave in waves)


def test_a_batch_whose_mode_or_keys_differ_starts_another_wave():
    batches = [make("a"), make("b"), make("c", mode="merge", keys=("id",)), make("d", mode="merge", keys=("n",))]
    assert names(plan.waves([*batches, make("e")])) == ["a b", "c", "d", "e"]


def test_batches_that_replace_the_same_day_come_one_after_the_other():
    batches = [make("a", days=(1,)), make("b", days=(2,)), make("c", days=(2, 3)), make("d", days=(4,))]
    waves = plan.waves([dataclasses.replace(b, options=LoadOptions(write_mode="replace_partition")) for b in batches])
    assert names(waves) == ["a b", "c d"]


def test_a_batch_that_replaces_the_table_or_is_transformed_stands_alone():
    whole = [make("a", mode="replace_table"), make("b", mode="replace_table")]
    transformed = [make("c"), make("d", transform="SELECT * FROM temp_ext"), make("e")]
    assert names(plan.waves([*whole, *transformed])) == ["a", "b", "c", "d", "e"]


def test_files_load_apart_where_it_matters_which_batch_a_row_came_from():
    apart = {"mode": "merge", "keys": ("id",)}, {"transform": "SELECT 1"}, {"fields": {"maxBadRecords": 3}}
    for how in apart:
        found = loads([make("a", **how), make("b", **how)])
        assert [len(load.batches) for load in found] == [1, 1], how


def test_files_that_are_read_in_other_ways_load_apart():
    found = loads([make("a"), make("b", fields={"fieldDelimiter": ";"})])
    assert [load.batches[0].directory for load in found] == ["gs://b/in/d/t/a/", "gs://b/in/d/t/b/"]


def test_packed_files_load_apart_from_others():
    batch = make("a", files=4)
    part = batch.parts[0]
    files = tuple(dataclasses.replace(f, uri=f.uri + ".gz" * (n % 2)) for n, f in enumerate(part.files))
    batch = dataclasses.replace(batch, parts=(dataclasses.replace(part, files=files),))
    assert [[uri.endswith(".gz") for uri in load.uris] for load in loads([batch])] == [[False] * 2, [True] * 2]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=12),
    st.integers(1, 7),
    st.integers(10, 60),
)
def test_every_file_is_in_one_job_and_no_job_is_above_its_limits(shapes, most_files, most_bytes):
    batches = [make(f"b{n}", days=(day,), files=files) for n, (day, files) in enumerate(shapes)]
    found = loads(batches, most_files, most_bytes)

    loaded = [file.uri for load in found for file in load.files]
    assert sorted(loaded) == sorted(file.uri for batch in batches for file in batch.files)
    assert all(len(load.files) <= most_files for load in found)
    assert all(sum(file.bytes for file in load.files) <= most_bytes for load in found)
    for load in found:
        assert {b.batch_id for b in load.batches} == {b.batch_id for b in batches if set(b.files) & set(load.files)}
    assert len({load.identity for load in found}) == len(found)


def test_a_load_has_the_same_identity_when_it_is_planned_again_and_another_when_a_file_is_new():
    first = make("a")
    (load,) = loads([first])
    (again,) = loads([make("a")])
    newer = dataclasses.replace(first.parts[0].files[0], generation=2)
    part = dataclasses.replace(first.parts[0], files=(newer, *first.parts[0].files[1:]))
    (changed,) = loads([dataclasses.replace(first, parts=(part,))])

    assert load.identity == again.identity != changed.identity
    assert load.table_name == f"wharf_{load.identity}"


def test_a_statement_has_the_same_identity_for_the_same_batches_until_it_has_failed():
    a, b = make("a"), make("b")
    first = statement_identity([a, b], [])
    assert first == statement_identity([b, a], [])
    assert len({first, statement_identity([a], []), statement_identity([a, b], [first])}) == 3


def test_a_batch_for_another_table_or_recorded_anew_is_brought_in_by_other_jobs():
    """Else a job of long ago would be taken for it, and nothing would be loaded."""
    first = make("a")
    elsewhere = dataclasses.replace(first, table=TableId("p", "d", "other"))
    anew = seen([first], at(21))
    assert len({plan.statement_identity([b], s, []) for b in (first, elsewhere) for s in (seen([b]), anew)}) == 4
    assert len({plan.loads([b], s)[0].identity for b in (first, elsewhere) for s in (seen([b]), anew)}) == 4
