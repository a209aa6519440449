"""What the model.py files of the repository run inside Triton's Python backend."""
