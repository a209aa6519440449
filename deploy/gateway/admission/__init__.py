"""Which work is taken, how much at a time, and how long it may wait."""
