"""What several readers need: files where people keep them, random splits, label names, files of points."""
