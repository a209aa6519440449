"""The server's side of a stage: where the time of its requests went, and what they cost it."""
