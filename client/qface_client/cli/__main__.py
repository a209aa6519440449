"""`python -m qface_client.cli`: the same as `qface`."""

import sys

from . import main

sys.exit(main())
