"""Real servers with named faults."""
