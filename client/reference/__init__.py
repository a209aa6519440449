"""Writes the client's documents as HTML: its guides, and a reference made of its docstrings (`make docs`)."""
