"""Loading files into BigQuery tables: what landed, its state, its jobs, its tables."""
