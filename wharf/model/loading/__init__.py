"""Files that landed under a prefix -> what is loaded where, and how: plain values and pure functions."""
