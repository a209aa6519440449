"""Fits what a network states of its own errors: `python -m training.train.errors`."""
