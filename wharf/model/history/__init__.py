"""Looking back at the runs of all pipelines: values and pure functions."""
