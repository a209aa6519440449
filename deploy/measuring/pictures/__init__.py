"""The pictures that benchmarks and load tests send, all made of one portrait, the same at every run."""
