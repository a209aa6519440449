"""Gateways for tests that are not about overload or repair.

A slow machine is no reason to refuse anything, and no canary is among the requests that a test counts.
"""

PATIENT = (
    *("--queue-seconds", "120", "--triton-seconds", "60"),
    *("--canary-seconds", "3600", "--canary-timeout", "120"),
)
