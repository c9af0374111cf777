"""The `wharf` command: one module per command group."""
