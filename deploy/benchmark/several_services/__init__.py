"""Several gateways as one service: what callers see when one of them dies, drains, is slow or is cut off."""
