"""A queueing model of one server, and of many: simulated request by request."""
