"""Runs that people ask for: what they are, checked before they begin, and followed on Dataflow to their end."""
