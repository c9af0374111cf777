"""A delivery's manifest: what is written is read, and what a run's end means."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from wharf.model.delivery import DeliveryResult
from wharf.model.errors import RunFailed
from wharf.model.manifest import Folder, Manifest, StagedName, file_rows, names, outcome
from wharf.model.selection import Watermark
from wharf.model.sftp_export import SftpExport
from wharf.model.verification import differences, folders, unexpected

NOON = dt.datetime(2025, 3, 2, 12, tzinfo=dt.UTC)
FILES = tuple(StagedName(f"in/x_{n:05d}.csv", f"gs://b/s/x_{n:05d}.csv", 10 * n, 100 * n, "AAAAAA==") for n in (1, 2))
MANIFEST = Manifest(
    export_id="x-20250302-abc",
    export_name="x",
    source="p.d.t",
    destination="sftp://u@h:22/up",
    date=dt.date(2025, 3, 2),
    window_from=None,
    window_to=None,
    started_at=NOON,
    expires_at=NOON + dt.timedelta(days=7),
    files=FILES,
    watermark_before="2025-03-01 00:00:00+00:00",
    watermark=Watermark("TIMESTAMP", "2025-03-02 00:00:00+00:00"),
)


def results(*errors: str) -> list[DeliveryResult]:
    return [
        DeliveryResult(file, file.remote_path, 1, 0.5, error=error)
        for file, error in zip(MANIFEST.outbound(), errors, strict=False)
    ]


@pytest.mark.parametrize(
    "manifest", [MANIFEST, replace(MANIFEST, watermark=None, window_from=NOON, window_to=NOON, files=())]
)
def test_a_manifest_is_read_as_it_was_written(manifest):
    assert Manifest.from_json(manifest.to_json(), where="m") == manifest


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 1}', "null"])
def test_something_else_is_no_manifest(text):
    with pytest.raises(RunFailed, match="m is no manifest"):
        Manifest.from_json(text, where="m")


def test_the_watermark_moves_when_every_file_has_arrived():
    ended = outcome(MANIFEST, results("", ""))
    assert "error_message" not in ended
    assert ended["last_exported_value"] == "2025-03-02 00:00:00+00:00"
    assert ended["last_export_timestamp"] == dt.datetime(2025, 3, 2, tzinfo=dt.UTC)
    assert (ended["rows_exported"], ended["files"], ended["bytes_exported"]) == (30, 2, 300)
    assert ended["file_name"] == "in/x_00001.csv, in/x_00002.csv"


@pytest.mark.parametrize("errors", [("", "disk full"), ("",), ()])
def test_the_watermark_stays_when_a_file_has_not_arrived_or_was_not_tried(errors):
    ended = outcome(MANIFEST, results(*errors))
    assert "last_exported_value" not in ended
    assert "are not on the server" in ended["error_message"]


def test_a_run_without_files_succeeds():
    assert "error_message" not in outcome(replace(MANIFEST, files=()), [])


def test_each_file_has_a_row_with_its_status():
    rows = file_rows(MANIFEST, results("", "quota"), NOON)
    assert [(row["file_uri"], row["status"], row["error_message"], row["attempts"]) for row in rows] == [
        ("gs://b/s/x_00001.csv", "SUCCESS", None, 1),
        ("gs://b/s/x_00002.csv", "FAILED", "quota", 1),
    ]
    assert file_rows(MANIFEST, [], NOON)[0]["error_message"] == "not tried"


def test_the_outbound_files_are_the_manifests():
    assert [(file.owner, file.again) for file in MANIFEST.outbound(again=True)] == [("x-20250302-abc", True)] * 2


def test_a_version_changes_the_last_part_of_a_path_only():
    named = MANIFEST.renamed({"gs://b/s/x_00001.csv": "/home/u/in/x_00001.1.csv"})
    assert [file.remote_path for file in named.files] == ["in/x_00001.1.csv", "in/x_00002.csv"]


def test_many_names_are_shortened():
    assert names([]) is None
    assert names([f"f{n}" for n in range(12)]) == ", ".join(f"f{n}" for n in range(10)) + " and 2 more"


def test_a_folder_holds_one_run():
    folder = Folder("gs://b/wharf", "x", "x-1")
    assert (folder.manifest, folder.files) == ("gs://b/wharf/x/x-1/manifest.json", "gs://b/wharf/x/x-1/files")


def test_what_is_missing_different_or_extra_is_told():
    assert differences(MANIFEST, {"in/x_00001.csv": 100, "in/x_00002.csv": 200}, ()) == []
    found = differences(MANIFEST, {"in/x_00001.csv": None, "in/x_00002.csv": 7}, {"in/y"})
    assert [str(difference) for difference in found] == [
        "missing    in/x_00001.csv  (100 bytes)",
        "different  in/x_00002.csv  has 7 bytes, not 200",
        "extra      in/y",
    ]


def test_files_that_look_like_this_runs_are_extra_and_others_are_not():
    export = SftpExport(name="x", source_table="d.t", destination_filename="x_{shard}.csv", directory="in")
    there = [
        "x_00001.csv", "x_00003.csv", "x_1.csv", "x_00001.csv.0a1b2c3d.part", ".x_00002.csv.0a1b2c3d.part", "y.part",
    ]  # fmt: skip
    assert folders(MANIFEST) == {"in"}
    assert unexpected(MANIFEST, export, "in", there) == {
        "in/x_00003.csv", "in/x_00001.csv.0a1b2c3d.part", "in/.x_00002.csv.0a1b2c3d.part",
    }  # fmt: skip


def test_files_of_other_days_are_not_extra():
    export = SftpExport(name="x", source_table="d.t", destination_filename="x_{date}.csv")
    assert unexpected(MANIFEST, export, "", ["x_2025-03-01.csv", "x_2025-03-02.csv"]) == {"x_2025-03-02.csv"}
