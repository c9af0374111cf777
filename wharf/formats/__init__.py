"""Arrow RecordBatches become self-contained blocks of a file format."""
