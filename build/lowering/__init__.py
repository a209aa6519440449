"""Bringing an exported network to a lower precision."""
