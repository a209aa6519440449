"""Whether what a gateway's processes hold stays the same over many requests: `make soak`."""
