"""The Dataflow job of an attempt: made under a name of its own, and found again by it."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from dataclasses import dataclass, replace

from wharf.connectors.dataflow import Dataflow
from wharf.model.launching.config import LaunchConfig
from wharf.model.launching.environment import Environment
from wharf.model.launching.errors import AlreadyRunning, LaunchBusy
from wharf.model.launching.launch import Launch
from wharf.model.launching.pipelines import pipeline_named
from wharf.model.launching.record import LaunchRecord

_SKEW = dt.timedelta(minutes=5)  # by which our clock may be ahead of Dataflow's
_LOG = logging.getLogger(__name__)


def asked_for(config: LaunchConfig, launch: Launch, job_name: str) -> tuple[str, str, dict[str, str], Environment]:
    """What Dataflow is asked for: template, job name, parameters, environment."""
    job = config.job(launch.name)
    parameters = dict(launch.parameters)
    if launch.force and any(flag.name == "force" for flag in pipeline_named(launch.pipeline).flags):
        parameters["force"] = "true"
    labels = {"wharf-job": launch.name, "wharf-run": launch.run_id, **job.environment.labels}
    return config.template(launch.pipeline), job_name, parameters, replace(job.environment, labels=labels)


@dataclass(frozen=True)
class AttemptJobs:
    """Everything here raises LaunchBusy where asking again may help, and UsageError where a person must mend."""

    dataflow: Dataflow
    config: LaunchConfig

    async def make(self, record: LaunchRecord) -> tuple[str, bool]:
        """The id of the attempt's job, and whether it was made now; one that is active already is taken over."""
        try:
            return await self.dataflow.launch_template(*asked_for(self.config, record.launch, record.job_name)), True
        except AlreadyRunning:
            if job_id := await self._find(record):
                return job_id, False
            # It ended this moment, or is not listed yet.
            raise LaunchBusy(f"{record.job_name}: Dataflow has this job and does not show it; try again") from None

    async def find_or_make(self, record: LaunchRecord) -> tuple[str, bool]:
        """As `make`, where somebody may have made the job without saying so."""
        job_id = await self._find(record)
        return (job_id, False) if job_id else await self.make(record)

    async def cancel_second(self, job_id: str) -> None:
        """End a second job of an attempt; it has not begun to work, as the launcher in it takes a minute to start."""
        _LOG.warning("job %s is a second one of its run and is cancelled", job_id)
        for seconds in (0.5, 2.0):
            try:
                await self.dataflow.cancel(job_id)
            except LaunchBusy:
                await asyncio.sleep(seconds)
            else:
                return
        await self.dataflow.cancel(job_id)

    async def _find(self, record: LaunchRecord) -> str:
        """The attempt's job: an active one, or the newest that is not older than the record; empty if there is none."""
        jobs = await self.dataflow.jobs_named(record.job_name)
        since = record.accepted_at - _SKEW
        fit = [job for job in jobs if job.is_active or job.created_at >= since]
        return max(fit, key=lambda job: (job.is_active, job.created_at)).id if fit else ""
