"""What an answer costs: processor time by process, beside what the bare engine takes in the same run."""
