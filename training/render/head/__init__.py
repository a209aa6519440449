"""The ICT head: its mesh, vertex fields and expressions."""
