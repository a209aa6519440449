"""FaceXFormer, the released network."""
