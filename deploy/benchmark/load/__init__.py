"""Clients that load a server and record how each of their requests ended: exactly once, with its deadline."""

from deploy.benchmark.load.clients import Load, Sender, face_client_sender, raw_sender, tritonclient_sender
from deploy.benchmark.load.mix import mixed_clients
from deploy.benchmark.load.outcomes import End, Outcome, Summary
from deploy.benchmark.load.sample_requests import Samples

__all__ = [
    "End",
    "Load",
    "Outcome",
    "Samples",
    "Sender",
    "Summary",
    "face_client_sender",
    "mixed_clients",
    "raw_sender",
    "tritonclient_sender",
]
