"""Launching pipelines and looking back at their runs: values and pure functions."""
