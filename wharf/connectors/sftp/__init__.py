"""SFTP servers: one module a concern, from the socket up; `server` is what others use."""
