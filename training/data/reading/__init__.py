"""What the readers share: files, splits, checked mappings, landmark files."""
