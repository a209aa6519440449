"""The command `python -m deploy.loadtest`: its options, its order, its report."""
