"""Launching pipelines: values and pure functions."""
