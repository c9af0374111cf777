"""What Dataflow is asked to run: each pipeline as a job, its options and steps, no secret; and refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from apache_beam.internal.gcp import auth
from apache_beam.utils import retry

from pipelines import command_line, files_to_bigquery
from tests.end_to_end.dataflow import PIPELINES, SECRETS, STREAMING, Dataflow, dataflow_of
from tests.end_to_end.process import Finished
from tests.servers.webhook import Webhook

IMAGE = "europe-docker.pkg.dev/my-project/wharf/worker:1.2.3"
RECORDED = ["bigquery_to_avro", "bigquery_to_sftp"]  # by the launcher; workers record what the others do
# Where Beam's own steps begin below one of ours.
BEAMS_OWN = re.compile(r"/(\w*\(|Impulse|AddRandomKeys|RemoveRandomKeys|ReshufflePerKey|CoGroupByKeyImpl).*")
STEPS = {
    "bigquery_to_avro": """
        Read/OpenSession Read/ReadStream Read/Request Read/SpreadStreams
        SpillByPartition/Spill
        WritePartitions/ByPartition WritePartitions/Commit WritePartitions/CommitOnce WritePartitions/CutShards
        WritePartitions/Publish WritePartitions/Seal WritePartitions/SealOnce WritePartitions/SpreadPartitions
        WritePartitions/WriteShards/SpreadShards WritePartitions/WriteShards/WriteShard
        RecordFiles/Batch RecordFiles/Merge RecordRun/Succeed
        """,
    "files_to_bigquery": """
        Pattern AwaitFile/Await FindBatches/List
        LoadFiles/BySlot LoadFiles/GroupBySlot/Group LoadFiles/GroupBySlot/NeverWait LoadFiles/Load
        TellPeople/Tell FailIfAny/Judge FailIfAny/JudgeOnce
        """,
    "bigquery_to_sftp": """
        Read_daily/OpenSession Read_daily/ReadStream Read_daily/Request Read_daily/SpreadStreams
        Stage_daily/CutShards Stage_daily/DropTemporary Stage_daily/Gather Stage_daily/KeepSealed Stage_daily/Seal
        Stage_daily/SealOnce Stage_daily/SpillInOneGroup/Spill Stage_daily/WriteShards/SpreadShards
        Stage_daily/WriteShards/WriteShard
        Manifests Files
        WriteToSftp/DealOnce WriteToSftp/DealToSlots WriteToSftp/Deliver WriteToSftp/SpreadSlots
        Results
        Conclude/ByRun Conclude/EndRun Conclude/FailIfAny/Judge Conclude/FailIfAny/JudgeOnce Conclude/FileRows
        Conclude/GatherResults Conclude/OfRun Conclude/RecordFiles/Batch Conclude/RecordFiles/Merge Conclude/TakeStock
        """,
    "api_to_bigquery": """
        Units FetchApi/Fetch FetchApi/Spread
        LoadRaw/ByTable LoadRaw/Group LoadRaw/Load
        Incomplete Ended Rows Record/Batch Record/Merge Tell/Tell Tell/TellOnce FailIfAny/Judge FailIfAny/JudgeOnce
        """,
}
# Of a job that is updated: these have state or what is on its way in them, and Dataflow wants their whole names.
STREAMING_STEPS = [
    "AtStart/FlatMap(<lambda at core.py:4094>)",
    "AtStart/Impulse",
    "AtStart/Map(decode)",
    "AtStart/MaybeReshuffle",
    "FindAnnounced/Look",
    "FindBatches/List",
    "Found",
    "HoldUntil/Hold",
    "LoadFiles/BySlot",
    "LoadFiles/GroupBySlot/Group",
    "LoadFiles/GroupBySlot/NeverWait",
    "LoadFiles/Load",
    "Patterns",
    "ReadNotifications/Receive/Map(_from_proto_str)",
    "ReadNotifications/Receive/ParDo(_AddMetricsPassThrough)",
    "ReadNotifications/Receive/Read",
    "ReadNotifications/SortOut/ParDo(_SortOut)",
    "Released",
    "TellPeople/Tell",
]


@dataclass(frozen=True)
class Launched:
    """One of PIPELINES, launched with options of every kind."""

    pipeline: str
    ended: Finished
    dataflow: Dataflow


@pytest.fixture(scope="module", params=PIPELINES)
def launched(request, stack, readings, orders) -> Iterator[Launched]:
    with dataflow_of(stack, readings, orders(20)) as dataflow:
        ended = dataflow.run(
            request.param,
            *("--service_account_email=exports@my-project.iam.gserviceaccount.com", f"--sdk_container_image={IMAGE}"),
            *("--num_workers=2", "--max_num_workers=7", "--machine_type=n2-standard-4", "--labels=team=data"),
            *("--network=own", "--subnetwork=regions/europe-west1/subnetworks/own", "--no_use_public_ips"),
            *("--experiments=use_sibling_sdk_workers", "--dataflow_service_options=enable_prime"),
        )
        assert ended.code == 0, ended.err
        yield Launched(request.param, ended, dataflow)


def test_no_secret_is_in_the_job_or_in_what_is_staged_for_it(launched: Launched):
    everything, shown = launched.dataflow.everything(), launched.ended.out + launched.ended.err
    for secret in SECRETS.values():
        assert secret.encode() not in everything + shown.encode()
    references = {
        "bigquery_to_sftp": [b"exports.json#/sftp/password", b"exports.json#/notifications/slack/webhook"],
        "api_to_bigquery": [b"api.json#/auth/password", b"api.json#/notifications/email/password"],
        "bigquery_to_avro": [launched.dataflow.dataset.encode()],
    }
    for reference in references.get(launched.pipeline, [b"notifications.json#/slack/webhook"]):
        assert reference in everything, "what is packed in the job was opened"


def test_the_job_carries_the_options_of_its_command(launched: Launched):
    job = launched.dataflow.job
    environment = job["environment"]
    (pool,) = environment["workerPools"]
    assert job["name"] == launched.dataflow.name
    assert job["labels"] == {"team": "data"}
    assert environment["serviceAccountEmail"] == "exports@my-project.iam.gserviceaccount.com"
    assert environment["serviceOptions"] == ["enable_prime"]
    assert "use_sibling_sdk_workers" in environment["experiments"]
    assert (pool["numWorkers"], pool["autoscalingSettings"]["maxNumWorkers"]) == (2, 7)
    assert (pool["machineType"], pool["numThreadsPerWorker"]) == ("n2-standard-4", 2)
    assert (pool["network"], pool["subnetwork"]) == ("own", "regions/europe-west1/subnetworks/own")
    assert pool["ipConfiguration"] == 2, "private"
    assert [each["containerImage"] for each in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert launched.dataflow.api.jobs[0].kind == ("STREAMING" if launched.pipeline == STREAMING else "BATCH")
    assert environment["sdkPipelineOptions"]["options"]["save_main_session"] is False


def test_no_step_needs_a_runner_to_have_more_than_the_basics(launched: Launched):
    """State, timers, splittable DoFns, stable input: what a runner must have is said in `requirements`."""
    graph = launched.dataflow.graph()
    assert not graph.requirements
    environments = graph.components.environments.values()
    assert len({environment.payload for environment in environments}) == 1, "one language, one image"


def test_steps_keep_their_names(launched: Launched):
    names = launched.dataflow.steps()
    if launched.pipeline == STREAMING:
        assert names == STREAMING_STEPS, (
            "a job that runs cannot be updated to this code, unless it is given --transform_name_mapping: keep the "
            "names, or say so in CHANGELOG.md"
        )
    else:
        own = {BEAMS_OWN.sub("", name).replace(" ", "_") for name in names}
        assert sorted(own) == sorted(STEPS[launched.pipeline].split()), "dashboards and alerts know a step by its name"


@pytest.mark.parametrize("pipeline", RECORDED)
def test_a_run_is_recorded_with_its_job(pipeline, dataflow, sql):
    ended = dataflow.run(pipeline)
    (job,) = dataflow.api.jobs
    (row,) = sql(f"SELECT * FROM `{dataflow.table}`")
    assert (row["status"], row["job_id"]) == ("RUNNING", job.id)
    assert ended.out == f"{row['export_id']} runs as Dataflow job {job.id}\n"
    assert (row["lease_until"] - row["started_at"]).total_seconds() > 23 * 3600, "nobody renews it"
    again = dataflow.run(pipeline)
    assert again.code == 3, again.err
    assert job.id in again.err
    assert len(dataflow.api.jobs) == 1


def errors(ended: Finished) -> list[str]:
    """What a command wrote to stderr besides its log, whose lines are JSON."""
    return [line for line in ended.err.splitlines() if not (line.startswith("{") and json.loads(line)["severity"])]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_refusal_is_one_line_and_leaves_nothing_in_the_way(pipeline, dataflow, sql):
    dataflow.api.fail(403, message="The account may not create jobs: grant it roles/dataflow.developer.")
    with Webhook() as slack:
        dataflow.notifications = {"slack": {"webhook": slack.url}}
        refused = dataflow.run(pipeline)
    assert refused.code == 1
    (line,) = [line for line in errors(refused) if not line.startswith("warning: ")]
    assert line.startswith("error: ")
    assert "grant it roles/dataflow.developer" in line
    if pipeline in RECORDED:
        (row,) = sql(f"SELECT * FROM `{dataflow.table}`")
        assert row["status"] == "FAILED"
        assert "grant it roles/dataflow.developer" in row["error_message"]
        assert not dataflow.objects("staging/")
    assert len(slack.posts) == (pipeline == "bigquery_to_sftp")
    assert dataflow.run(pipeline).code == 0
    assert len(dataflow.api.jobs) == 1


@pytest.mark.parametrize(("status", "tries"), [(429, 1), (503, 4), (0, 0)])
def test_a_run_whose_launch_gets_no_answer_is_over(status, tries, dataflow, sql, monkeypatch):
    monkeypatch.setattr(retry.Clock, "sleep", lambda *_: None)  # Beam waits half a minute between its tries
    if status:
        dataflow.api.fail(status, times=9)
    else:
        monkeypatch.setenv("DATAFLOW_EMULATOR_HOST", "http://localhost:1")
    ended = dataflow.run("bigquery_to_avro")
    assert (ended.code, dataflow.api.launches) == (1, tries)
    (line,) = errors(ended)
    assert line.startswith("error: Dataflow has not taken the job: ")
    (row,) = sql(f"SELECT * FROM `{dataflow.table}`")
    assert row["status"] == "FAILED"
    assert line == f"error: {row['error_message']}"


def test_an_export_that_cannot_run_does_not_keep_the_others_from_it(dataflow, sql, monkeypatch):
    exports = {"daily": {"source_table": dataflow.orders}, "gone": {"source_table": f"{dataflow.orders}_gone"}}
    config = dataflow.put("two.json", dataflow.exports | {"exports": exports, "notifications": {}})
    ended = dataflow.run("bigquery_to_sftp", f"--config={config}")
    assert ended.code == 0, "else Google's template launcher would end the job"
    assert "_gone" in ended.err
    rows = sql(f"SELECT export_name, status FROM `{dataflow.table}` ORDER BY 1")
    assert [tuple(row.values()) for row in rows] == [("daily", "RUNNING"), ("gone", "FAILED")]
    assert len(dataflow.api.jobs) == 1


@pytest.fixture
def googles_own(dataflow, monkeypatch):
    """No stand-in, for whose address Beam checks no options; and no looking for credentials, which takes it 20 s."""
    monkeypatch.delenv("DATAFLOW_EMULATOR_HOST")
    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)


def test_options_that_dataflow_would_refuse_are_refused_before_anything_is_claimed(dataflow, googles_own):
    ended = dataflow.run("bigquery_to_avro", "--job_name=Not_A_Job")
    assert ended.code == 2
    (line,) = errors(ended)
    assert line.startswith("error: ")
    assert "Not_A_Job" in line
    assert not dataflow.objects()


def test_a_streaming_job_can_be_updated_though_its_steps_were_renamed(dataflow, googles_own):
    words = [*dataflow.flags, *dataflow.parameters(STREAMING), "--update", '--transform_name_mapping={"Old": "Load"}']
    job, _ = files_to_bigquery.job_of(words)
    command_line.check(job.options)


def test_a_runner_that_does_not_exist_is_refused_before_anything_is_claimed(dataflow):
    ended = dataflow.run("bigquery_to_avro", "--runner=DatflowRunner")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    assert "DatflowRunner" in line
    assert not dataflow.objects()
