"""The stages of a build: export, precision, compile, repository, verify."""
