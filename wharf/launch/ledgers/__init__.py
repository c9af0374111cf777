"""Where runs are recorded: the ledgers that the flags of a command name."""
