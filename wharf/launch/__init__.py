"""The `wharf` command: its commands, what they do, and the service that launches."""
