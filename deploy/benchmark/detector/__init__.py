"""How well faces are found, and for how much processor time: recall by size and circumstance, false finds."""
