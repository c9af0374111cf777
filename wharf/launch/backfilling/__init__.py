"""The runs of a backfill: which there are, and some at a time, here or on Dataflow."""
