"""One target under atheris: `python -m tests.fuzz.child TARGET FOLDER [libFuzzer's options]`.

Its corpus grows in FOLDER/corpus; what breaks a promise lies in FOLDER as the input (crash-...) and as the
traceback (finding.txt).
"""

import random
import sys
import traceback
from pathlib import Path

import atheris

FINDING = "finding.txt"


def main() -> None:
    """Fuzzes until the time is over or a promise is broken."""
    name, folder, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["runtime.image", "deploy.gateway"]):
        from tests.fuzz.targets import TARGETS
    target, place = TARGETS[name], Path(folder)

    def run(data: bytes) -> None:
        try:
            target.run(data)
        except BaseException:
            (place / FINDING).write_text(f"{data!r}\n\n{traceback.format_exc()}")
            raise

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return target.mutate(data, most, random.Random(seed), atheris.Mutate)

    atheris.Setup(
        [sys.argv[0], *options, f"-max_len={target.max_bytes}", str(place / "corpus")],
        run,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
