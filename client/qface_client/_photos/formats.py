"""Picture formats by their first bytes."""

# Read by the server itself: these go to it as they are.
_SERVED = (b"\xff\xd8", b"\x89PNG", b"P6")

# By Pillow's name of the format, how its files begin. What is not here goes to the server as it is, whose
# sentence says which formats it takes.
_BEGINNINGS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("BMP", (b"BM",)),
    ("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("GIF", (b"GIF87a", b"GIF89a")),
    ("JPEG2000", (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    ("PPM", (b"P1", b"P2", b"P3", b"P4", b"P5")),
)
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

HEAD = 64  # bytes that show it


def is_ppm(head: bytes) -> bool:
    """Whether it is a binary PPM: raw pixels."""
    return head.startswith(b"P6")


def foreign_format(head: bytes) -> str | None:
    """Pillow's name of the format of a picture that begins so; None: it goes to the server as it is."""
    if head.startswith(_SERVED):
        return None
    for name, beginnings in _BEGINNINGS:
        if head.startswith(beginnings):
            return name
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), head[3]), 4))}
        if brands.intersection(_AVIF_BRANDS):
            return "AVIF"
        if brands.intersection(_HEIF_BRANDS):
            return "HEIF"
    return None
