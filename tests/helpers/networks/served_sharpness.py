"""A program of test_new_kind.py, run with the client that has the new kind: asks the server at an address.

Prints as JSON the answer about the crop in a file, and how many faces a black photo has.
"""

import json
import sys
from pathlib import Path

import numpy as np

from qface_client import FaceClient


def main(address: str, crop: Path) -> None:
    with FaceClient(address) as client:
        answer = client.analyze_crop(np.load(crop)[0]).sharpness
        nobody = client.analyze(np.zeros((200, 200, 3), np.uint8))
    print(
        json.dumps(
            {
                "answer": answer.to_json(),
                "expected": answer.expected,
                "faces_in_a_black_photo": len(nobody),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
