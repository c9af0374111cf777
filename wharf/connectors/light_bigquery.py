"""BigQuery's client without pandas and Arrow: where they are installed it imports both, which takes a second."""

from __future__ import annotations

import sys

# What it does without where it is not installed; the rows of a query need none of it.
_OPTIONAL = ("geopandas", "google.cloud.bigquery_storage_v1", "pandas", "pyarrow", "shapely")


def import_lightly() -> None:
    """Import google.cloud.bigquery as if they were not there; for a process that only asks for rows."""
    if "google.cloud.bigquery" in sys.modules:
        return
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: its import fails
    try:
        import google.cloud.bigquery  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
