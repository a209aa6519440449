"""Traces of requests: the spans that the gateway makes, and the way of all spans to a collector."""
