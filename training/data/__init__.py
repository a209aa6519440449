"""Data sets as people have them on disk, and as training reads them (`python -m training.data`)."""
