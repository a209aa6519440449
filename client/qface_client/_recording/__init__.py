"""The file of a recording: what stands in a line of it, and how it is written and read."""
