"""The photo of one face that benchmarks send when none is given."""

from deploy.embedded.environment import PROJECT

PORTRAIT = PROJECT / "tests" / "assets" / "astronaut.jpg"
