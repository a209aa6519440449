"""Tritons behind the gateway: started, probed, repaired, swapped."""
