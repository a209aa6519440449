"""The page: a photo, what the network answers of it, and the network itself in the browser."""
