"""What all that load a run's batches share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wharf.connectors.loading.jobs import Jobs
from wharf.connectors.loading.loaded_files import LoadedFiles
from wharf.connectors.loading.rejects import Rejects
from wharf.connectors.loading.state import LoadState
from wharf.connectors.loading.tables import Tables
from wharf.model.loading.settings import LoadSettings

if TYPE_CHECKING:
    from google.cloud.bigquery import Client
    from google.cloud.storage import Client as StorageClient


@dataclass(frozen=True, kw_only=True)
class Tools:
    """For the loaders of all tables."""

    settings: LoadSettings
    emulated: bool  # BigQuery is
    client: Client
    storage: StorageClient
    state: LoadState
    jobs: Jobs
    most_files: int  # of one load job
    tables: Tables
    files: LoadedFiles
    rejects: Rejects
    pool: ThreadPoolExecutor
    count: Callable[[str, int], None]
