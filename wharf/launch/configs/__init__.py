"""What `wharf config check` says of each kind of file, for machines and for people."""
