"""A package, so that the browser ends with its last test: its library keeps an event loop until then."""
