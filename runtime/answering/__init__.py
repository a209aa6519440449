"""From a request's tensors to its answer's: what a served model does, whatever brings the request.

The models' steps inside Triton (`runtime.serving`) and a client that answers in its own process call this.
"""
