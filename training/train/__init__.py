"""Training runs: from prepared sets to a checkpoint."""
