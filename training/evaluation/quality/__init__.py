"""What face_quality is good for: which faces a minimum keeps, and what their answers gain."""
