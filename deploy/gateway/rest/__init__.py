"""REST: photos over HTTP, answers in JSON. The same way through the gateway as over gRPC."""
