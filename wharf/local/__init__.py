"""The embedded stack: emulators and demo data."""
