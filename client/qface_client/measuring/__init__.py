"""Percentiles, histograms, loops of callers, and what differs beyond noise: for `qface bench` and for the
server's own measurements (docs/decisions/0008-one-measuring-core.md).

No part of what this package promises to its users: it may change with any version. It needs numpy alone.
"""
