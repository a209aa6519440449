"""What share of its GPUs a host can feed: a model of the whole pipeline, fed with measured processor time."""
