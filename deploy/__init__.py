"""Ways to run the assembled model repository: embedded on one machine (`deploy.embedded`)."""
