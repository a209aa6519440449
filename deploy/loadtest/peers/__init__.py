"""Other people's load generators on the same work, their figures beside ours: `python -m deploy.loadtest.peers`."""
