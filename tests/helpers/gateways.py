"""Gateways for tests that are not about overload: a slow machine is no reason to refuse anything."""

PATIENT = ("--queue-seconds", "120", "--triton-seconds", "60", "--canary-timeout", "120")
