"""`python -m qface_client`: the same as `qface`."""

import sys

from .cli import main

sys.exit(main())
