"""`wharf run` and `wharf plan`: what is asked for, checked before anything begins, here or on Dataflow."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

EXPORT = ("bigquery_to_avro", "--source_table=p.d.t", "--output=/tmp/out")
MARCH = "2025-03-01T00:00:00 to 2025-04-01T00:00:00 (UTC)"


def on_dataflow(launching, *words):
    return ("run", *words, "--target=dataflow", f"--launch_config={launching.config}")


def test_a_local_run_is_the_pipelines_own_main(command, pipelines):
    pipelines.codes = [3]
    ended = command("run", *EXPORT, "--period", "202503", "--direct_num_workers=2")
    assert ended.code == 3, "what the pipeline says is busy is busy"
    assert pipelines.calls == [
        (
            "bigquery_to_avro",
            ["--source_table=p.d.t", "--output=/tmp/out", "--period=202503", "--direct_num_workers=2"],
        )
    ]
    assert ended.out == f"{pipelines.says}\n"
    told = ended.err.splitlines()
    assert told[:3] == ["pipeline    bigquery_to_avro", "target      local", f"window      t: {MARCH}"]
    assert "parameters  source_table = p.d.t" in told


def test_a_jobs_parameters_are_defaults_that_flags_replace(command, pipelines, launching):
    flags = ("--output", "gs://other/events", "--codec=deflate", f"--launch_config={launching.config}")
    ended = command("run", "measurements", "--period=202503", *flags)
    assert ended.code == 0, ended.err
    ((name, words),) = pipelines.calls
    assert name == "bigquery_to_avro"
    assert words == [
        f"--source_table={launching.project}.metering.measurements",
        "--output=gs://other/events",
        f"--metadata_table={launching.ledgers.tables.exports}",
        "--period=202503",
        "--codec=deflate",
        f"--project={launching.project}",
    ]
    assert "pipeline    bigquery_to_avro, job measurements" in ended.err


def test_the_environment_names_the_launch_configuration_where_no_flag_does(command, pipelines, launching, monkeypatch):
    monkeypatch.setenv("WHARF_LAUNCH_CONFIG", launching.config)
    assert command("run", "measurements", "--period=202503").code == 0
    assert len(pipelines.calls) == 1


def test_flags_for_a_window_take_the_place_of_a_jobs_own(command, pipelines, launching):
    own = {"source_table": "p.d.t", "output": "gs://b/e", "period": "202401"}
    launching.write({"fixed": {"pipeline": "bigquery_to_avro", "parameters": own}})
    window = ("--when_read_from=2025-03-01T00:00:00", "--when_read_to=2025-03-02T00:00:00")
    assert command("run", "fixed", *window, f"--launch_config={launching.config}").code == 0
    assert not any(word.startswith("--period") for word in pipelines.calls[0][1])


def test_a_flag_without_a_value_is_not_given_here_and_on_dataflow(command, pipelines, launching):
    own = {"source_table": "p.d.t", "output": "gs://b/e", "period": "202401"}
    launching.write({"fixed": {"pipeline": "bigquery_to_avro", "parameters": own}})
    for target in ("local", "dataflow"):
        words = ("plan", "fixed", "--period=", f"--target={target}", f"--launch_config={launching.config}", "--json")
        assert command(*words).document["parameters"]["period"] == "202401", target


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run",), "which pipeline or job? one of: bigquery_to_avro,"),
        (("run", "bigquery_to_afro"), "no pipeline 'bigquery_to_afro' (did you mean bigquery_to_avro?)"),
        (("run", "measurements"), "name it with --launch_config, or set WHARF_LAUNCH_CONFIG"),
        (("run", *EXPORT, "--period=2025"), "--period: '2025' is not understood: write one like 202503"),
        (("run", *EXPORT, "--codec=snapy"), "did you mean snappy?"),
        (("run", *EXPORT, "--plan"), "--plan: `wharf plan` with the same words"),
        (("run", *EXPORT, "--detach"), "--detach goes with --target dataflow"),
        (("run", *EXPORT, "--target=dataflow"), "--target dataflow needs --launch_config FILE"),
        (("run", *EXPORT, "--target=flink"), "invalid choice: 'flink'"),
        (("run", "bigquery_to_avro", "--output=/tmp/out"), "give exactly one of --source_table and --query"),
        (("run", "bigquery_to_sftp"), "--config is missing"),
        (("run", "bigquery_to_sftp", "--config=/no/such.json"), "/no/such.json: there is no such file"),
        (("run", *EXPORT, "--launch_config=/no/such.json", "--target=dataflow"), "/no/such.json: there is no such"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else "",
)
def test_what_cannot_run_is_refused_before_anything_begins(command, pipelines, words, message):
    ended = command(*words)
    assert (ended.code, ended.out, pipelines.calls) == (2, "", [])
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("measurement",), "there is no pipeline 'measurement' (did you mean measurements?); "),
        (("measurements", "--num_workers=2"), "unknown flag '--num_workers'"),
        (("measurements", "--perid=202503"), "unknown flag '--perid' (did you mean --period?)"),
        (("bigquery_to_avro", "--outptu=gs://b/e"), "unknown flag '--outptu' (did you mean --output?)"),
        (("measurements", "--output=/tmp/out"), "--output: '/tmp/out' is nothing that other machines can reach"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_dataflow_cannot_run_is_refused_before_it_is_launched(command, launching, words, message):
    ended = command(*on_dataflow(launching, *words))
    assert (ended.code, launching.api.requests) == (2, [])
    assert message in ended.err


@pytest.mark.parametrize("command_name", ["run", "plan"])
@pytest.mark.parametrize(
    ("words", "unknown", "missing"),
    [
        (("bigquery_to_sftp", "--confg=c.json"), "--confg (did you mean --config?)", "--config is missing"),
        (("bigquery_to_avro", "--outptu", "/o"), "--outptu (did you mean --output?)", "give exactly one of --source"),
        (
            ("measurements", "--lanch_config=x"),
            "--lanch_config (did you mean --launch_config?)",
            "there is no pipeline",
        ),
        (("bigquery_to_avro", "--zzz", "--project=p"), "--zzz", "give exactly one of --source"),
        (("bigquery_to_avro", "--config=c.json"), "--config (did you mean ", "give exactly one of --source"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_unknown_flag_is_told_before_what_is_missing(command, pipelines, command_name, words, unknown, missing):
    ended = command(command_name, *words)
    assert (ended.code, pipelines.calls) == (2, [])
    assert ended.err.startswith(f"wharf: error: unknown flag {unknown}")
    assert f"; {missing}" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_an_option_of_beams_is_no_unknown_flag_where_something_is_missing(command, pipelines):
    ended = command("run", "bigquery_to_sftp", "--direct_num_workers=2", "--project=p")
    assert ended.code == 2
    assert ended.err.startswith("wharf: error: --config is missing")


def test_secrets_are_looked_for_and_never_shown(command, pipelines, tmp_path):
    secret = tmp_path / "password"
    config = tmp_path / "exports.json"
    config.write_text(
        json.dumps(
            {
                "sftp": {"host": "h", "username": "u", "password": f"file:{secret}", "directory": "in"},
                "staging": str(tmp_path / "staging"),
                "exports": {"orders": {"source_table": "p.d.t"}},
                "notifications": {"slack": {"webhook": "env:NO_SUCH_WEBHOOK"}},
            }
        )
    )
    words = ("run", "bigquery_to_sftp", f"--config={config}", "--export_name=all", "--project=p")
    missing = command(*words)
    assert (missing.code, pipelines.calls) == (2, [])
    assert f"file:{secret}: there is no such file" in missing.err
    secret.write_text("correct horse")
    found = command(*words)
    assert found.code == 0, found.err
    assert f"file:{secret}: there" in found.err
    assert "env:NO_SUCH_WEBHOOK: the variable is not set" in found.err, (
        "nobody is told, but the run is not kept from it"
    )
    assert "horse" not in found.out + found.err


def test_a_run_on_dataflow_is_launched_followed_and_ends_with_what_is_recorded(command, launching):
    launching.end_jobs(after=0.7)
    ended = command(*on_dataflow(launching, "measurements", "--period=202503"))
    assert ended.code == 0, ended.err
    (job,) = launching.api.jobs
    assert job.asked["parameters"]["when_read_from"] == "2025-03-01T00:00:00"
    told = [line.split(maxsplit=1)[-1] for line in ended.err.splitlines()]
    order = ["RUNNING", "basic   Worker configuration: n1-standard-1.", "DONE"]
    assert [line for line in told if line in order].index("DONE") == len(order) - 1
    assert f"runs as Dataflow job {job.id}" in ended.err
    assert f"https://console.cloud.google.com/dataflow/jobs/europe-west1/{job.id}?project=" in ended.err
    shown = dict(line.split(maxsplit=1) for line in ended.out.splitlines())
    assert (shown["status"], shown["rows"], shown["window"], shown["job"]) == (
        "SUCCESS",
        "1,000,000",
        "2025-03",
        job.id,
    )

    again = command(*on_dataflow(launching, "measurements", "--period=202503", "--json"))
    assert (again.code, len(launching.api.jobs)) == (0, 1), "the month is done"
    assert (again.document["state"], again.document["is_new"], again.document["exit_code"]) == ("SUCCESS", False, 0)
    assert [run["status"] for run in again.document["runs"]] == ["SUCCESS"]
    assert "has been done as Dataflow job" in again.err
    forced = command(*on_dataflow(launching, "measurements", "--period=202503", "--force"))
    assert (forced.code, len(launching.api.jobs)) == (0, 2)


def test_a_pipeline_without_a_job_of_its_own_is_launched_with_its_flags(command, launching):
    launching.end_jobs()
    flags = ("--source_table=p.d.t", "--output=gs://b/e", f"--metadata_table={launching.ledgers.tables.exports}")
    ended = command(*on_dataflow(launching, "bigquery_to_avro", *flags, "--period=202503", "--json"))
    assert ended.code == 0, ended.err
    (job,) = launching.api.jobs
    assert job.name.startswith("bigquery-to-avro-20250301-20250401-")
    assert job.asked["containerSpecGcsPath"].endswith("/bigquery_to_avro.json")
    assert job.asked["environment"]["maxWorkers"] == 5
    assert [run["job_id"] for run in ended.document["runs"]] == [job.id]


def test_a_job_that_fails_ends_with_1_and_leaves_no_run_that_looks_alive(command, launching):
    launching.end_jobs("JOB_STATE_FAILED", "RUNNING", "Workflow failed. Causes: out of disks")
    ended = command(*on_dataflow(launching, "measurements", "--period=202503"))
    assert ended.code == 1
    assert "FAILED" in ended.err
    (run,) = launching.rows()
    assert (run.status, run.error) == ("FAILED", "Workflow failed. Causes: out of disks")
    assert "out of disks" in ended.out
    launching.end_jobs()
    assert command(*on_dataflow(launching, "measurements", "--period=202503")).code == 0
    assert launching.api.jobs[-1].name.endswith("-2"), "what has failed may be tried again"


def test_a_job_that_is_done_without_its_run_having_succeeded_is_a_failure(command, launching):
    launching.end_jobs(status="FAILED")
    ended = command(*on_dataflow(launching, "measurements", "--period=202503"))
    assert ended.code == 1
    assert "the bucket is gone" in ended.out


def test_an_error_that_a_job_got_over_is_none_of_its_run(command, launching):
    launching.end_jobs(message="a bundle failed, and is tried again")
    ended = command(*on_dataflow(launching, "measurements", "--period=202503", "--json"))
    assert (ended.code, ended.document["state"], ended.document["error"]) == (0, "SUCCESS", "")
    record = launching.folder / "launches" / f"{launching.api.jobs[0].name}.json"
    assert json.loads(record.read_text())["error"] == ""
    assert "error   a bundle failed" in ended.err, "it is among what the job says"


def test_a_launch_that_has_to_wait_is_asked_for_again(command, launching):
    launching.api.fail(429, times=2, message="Quota exceeded", retry_after="0")
    launching.end_jobs()
    ended = command(*on_dataflow(launching, "measurements", "--period=202503"))
    assert (ended.code, len(launching.api.jobs)) == (0, 1), ended.err
    assert ended.err.count("asking again") == 2


def test_a_detached_run_returns_when_the_job_is_launched(command, launching):
    ended = command(*on_dataflow(launching, "measurements", "--period=202503", "--detach", "--json"))
    assert ended.code == 0
    assert (ended.document["state"], ended.document["runs"]) == ("LAUNCHED", [])
    assert ended.document["job_id"] == launching.api.jobs[0].id
    assert launching.api.jobs[0].is_active


def test_ctrl_c_leaves_the_job_and_says_how_to_end_it(command, launching):
    def interrupt() -> None:
        deadline = time.monotonic() + 20
        while not any("/messages" in request for request in launching.api.requests):
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    ended = command(*on_dataflow(launching, "measurements", "--period=202503"))
    thread.join()
    (job,) = launching.api.jobs
    assert ended.code == 130
    assert job.is_active
    assert f"the job goes on: the same command follows it again, `wharf cancel {job.name}` ends it" in ended.err
    launching.api.run(job.id)
    launching.record(job, "SUCCESS")
    threading.Timer(0.5, launching.api.end, [job.id]).start()
    again = command(*on_dataflow(launching, "measurements", "--period=202503"))
    assert (again.code, len(launching.api.jobs)) == (0, 1)
    assert f"runs already as Dataflow job {job.id}" in again.err


def test_a_plan_is_the_pipelines_plan_and_for_dataflow_also_the_request(command, pipelines, launching):
    local = command("plan", *EXPORT, "--period=202503")
    assert local.code == 0
    assert f"window      t: {MARCH}" in local.out
    assert local.out.endswith(f"\n\n{pipelines.says}\n")
    assert pipelines.calls[0][1][-1] == "--plan"

    words = ("measurements", "--period=202503", "--target=dataflow", f"--launch_config={launching.config}")
    shown = command("plan", *words)
    assert '"containerSpecGcsPath": "gs://my-bucket/templates/1.0.0/bigquery_to_avro.json"' in shown.out
    planned = command("plan", *words, "--json").document
    assert (planned["job"], planned["target"]) == ("measurements", "dataflow")
    assert planned["windows"] == {"measurements": MARCH}
    assert planned["plan"] == [pipelines.says]
    launching.end_jobs()
    assert command(*on_dataflow(launching, "measurements", "--period=202503")).code == 0
    (job,) = launching.api.jobs
    assert planned["request"] == job.asked, "that is what is launched"


def test_every_pipelines_flags_are_in_its_help(command):
    for name in ("bigquery_to_avro", "bigquery_to_sftp", "files_to_bigquery", "api_to_bigquery"):
        with pytest.raises(SystemExit) as ended:
            command("run", name, "--help")
        assert ended.value.code == 0


def test_a_job_of_files_runs_with_its_own_secrets_checked(command, pipelines, launching, tmp_path):
    told = Path(tmp_path / "told.json")
    told.write_text(json.dumps({"slack": {"webhook": "env:NO_SUCH_WEBHOOK"}}))
    flags = ("--input=gs://in/**", f"--notifications={told}", f"--project={launching.project}")
    ended = command("run", "files_to_bigquery", *flags)
    assert ended.code == 0, ended.err
    assert "secrets     env:NO_SUCH_WEBHOOK: the variable is not set" in ended.err


@pytest.mark.parametrize("target", ["local", "dataflow"])
def test_a_job_that_says_where_files_land_loads_all_that_is_there_when_it_is_run_by_name(
    command, pipelines, launching, target
):
    launching.write(jobs={"landed": {"pipeline": "files_to_bigquery", "parameters": {"prefix": "gs://in/"}}})
    flags = (f"--target={target}", f"--launch_config={launching.config}", "--json")
    planned = command("plan", "landed", *flags)
    assert planned.code == 0, planned.err
    assert planned.document["parameters"] == {"prefix": "gs://in/", "input": "gs://in/**"}
    ((_, words),) = pipelines.calls
    assert words == ["--prefix=gs://in/", "--input=gs://in/**", f"--project={launching.project}", "--plan"]
    if target == "dataflow":
        assert planned.document["request"]["parameters"] == planned.document["parameters"]
