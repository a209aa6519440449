"""The folder of a run: its files, its lock, its listing, and the check that nothing is missing in it."""
