"""The tests: one module for each of the package, real servers with faults, whole runs."""
