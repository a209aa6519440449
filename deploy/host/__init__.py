"""What a host has that a deployment depends on: its NVIDIA GPUs and their driver."""
