"""The face detector: from a photo to boxes and five landmarks a face."""
