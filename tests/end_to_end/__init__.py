"""Whole runs of the pipelines, as processes, on the embedded stack."""
