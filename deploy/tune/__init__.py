"""Measures, on the machine that will serve, which settings of a host suit it: `python -m deploy.tune`."""
