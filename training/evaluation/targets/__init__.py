"""What the networks are to reach, measured: a table of targets (rows), by one command."""
