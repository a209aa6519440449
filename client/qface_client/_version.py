"""The client's version, told to people whose server speaks of something newer."""

__version__ = "0.2.0"
