"""Other people's load generators on the same work, beside our own: `python -m deploy.loadtest.peers`."""
