"""Reusable PTransforms and DoFns: thin wiring over wharf."""
