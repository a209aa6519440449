"""The acceptance gate: what an engine must show before it is served."""
