"""The client's side of the conversation with a server, without a connection."""
