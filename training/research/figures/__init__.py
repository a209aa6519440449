"""Figures of a network and of its training, a module for each kind of figure."""
