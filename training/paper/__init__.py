"""The tables and figures of the papers of Q-Face and FaceXFormer, each made by one command."""
