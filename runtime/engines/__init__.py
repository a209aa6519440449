"""What executes the exported network on a CPU, one module an engine."""
