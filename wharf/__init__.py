"""Wharf loads and unloads BigQuery on Apache Beam."""

__version__ = "0.1.0"
