"""Metrics, health pages and the access log."""
