"""Loads a V2 server and reports what it bore: `python -m deploy.loadtest`."""
