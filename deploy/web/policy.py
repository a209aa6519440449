"""What the page may do: the headers of each of its files, and their media types.

The page loads nothing from elsewhere, talks to its own origin alone, and is shown in nobody's frame. Its
origin is isolated (COOP, COEP), as threads of WebAssembly need memory that they share.
"""

from collections.abc import Mapping

_MAY = {
    "default-src": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval'",  # WebAssembly is compiled; no text becomes code
    "worker-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",  # photos are shown from memory
    "media-src": "blob:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
CONTENT_SECURITY_POLICY = "; ".join(f"{what} {where}" for what, where in _MAY.items())

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self)",
    # Kept, and looked at again with its ETag before each use: another version of the server is another page.
    "Cache-Control": "no-cache",
    "Server": "q-face",
}

# By a file's suffix; a file with another one is not served.
MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}
