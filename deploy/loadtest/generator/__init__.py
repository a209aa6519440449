"""Processes that load a server, and record the one end of each request."""

from deploy.loadtest.generator.pool import Arrived, Flow, GeneratorError, GeneratorPool, default_processes
from deploy.loadtest.generator.records import CANCELLED, NOT_SENT, RECORD, Records

__all__ = [
    "CANCELLED",
    "NOT_SENT",
    "RECORD",
    "Arrived",
    "Flow",
    "GeneratorError",
    "GeneratorPool",
    "Records",
    "default_processes",
]
