"""Evaluation: metrics with intervals, by task, set and subgroup."""
