"""What a deployment makes for itself before it serves: its GPU's engine, and the repository with it.

`python -m deploy.prepare` is an init step; `python -m deploy.prepare.lower` does what needs no GPU, where an
image is built.
"""
