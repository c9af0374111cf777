"""The commands of `wharf`: each module adds its own to the parser, with `register(commands)`."""
