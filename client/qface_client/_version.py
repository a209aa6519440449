"""The client's version, shown where a server is newer than it."""

__version__ = "0.2.0"
