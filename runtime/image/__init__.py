"""Pictures: decoded, faces aligned and cut out, and points mapped back to the photo."""
