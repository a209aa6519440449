"""A prepared set on disk: written, indexed, read and checked."""
