"""The containers: what they are built from, and what runs in them first."""
