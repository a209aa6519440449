"""What callers hand in, as the bytes, arrays and names that the server takes."""

from .crops import Crops, stack_crops, stack_in_thread
from .encoded import Encoded, encode, encode_in_thread
from .folders import photo_files
from .kinds import Photo, is_pixels
from .parameters import box_tensor, landmarks_tensor, search_parameters, task_names
from .reading import name_of

__all__ = [
    "Crops",
    "Encoded",
    "Photo",
    "box_tensor",
    "encode",
    "encode_in_thread",
    "is_pixels",
    "landmarks_tensor",
    "photo_files",
    "name_of",
    "search_parameters",
    "stack_crops",
    "stack_in_thread",
    "task_names",
]
