"""A page to try the service, and the network in the browser."""
