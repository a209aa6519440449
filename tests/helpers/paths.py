"""Where the project and the tests' own files lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "tests" / "assets"
ASTRONAUT = ASSETS / "astronaut.jpg"
