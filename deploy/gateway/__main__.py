"""python -m deploy.gateway: serve the assembled repository behind a gateway until Ctrl-C or SIGTERM.

Further commands: status, swap, rollback, reload (of a gateway that runs) and keys. Exit status: 0 after an
ordered stop, 1 when what ran ended by itself and could not be kept, 2 when it could not start.
"""

import sys

from deploy.gateway.operation.command_line import main

if __name__ == "__main__":
    sys.exit(main())
