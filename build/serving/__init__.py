"""The served models of a repository and their configuration."""
