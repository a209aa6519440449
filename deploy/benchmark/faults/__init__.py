"""Faults done to a running gateway under load, and what its clients see of them: `make faults`."""
