"""The HTTP service that launches runs, is told how they end, and shows them; it needs no Beam."""
