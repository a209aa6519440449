"""What clients connect to: methods, requests, validation, health."""
