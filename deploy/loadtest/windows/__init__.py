"""What a stage's requests are folded into while it runs."""

from deploy.loadtest.windows.fold import Arrivals, WindowFold
from deploy.loadtest.windows.gaps import GapFinder
from deploy.loadtest.windows.stability import steady

__all__ = ["Arrivals", "GapFinder", "WindowFold", "steady"]
