"""Checks whether this host can run the service, and says what is wrong in a sentence each: `make doctor`.

    python -m deploy.doctor [options of the gateway] [--json]

The options are the gateway's own, so that what is checked is what would run; in a container of ours they
begin with those that it starts the gateway with. Nothing is started and nothing is written.

Exit status: 0 where the service would run, 1 where something would stop it.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence

from deploy.container.__main__ import gateway_command
from deploy.doctor import gpus, identity, resources, software
from deploy.doctor.findings import Check, Finding, Host
from deploy.gateway.operation.command_line import parse_serve

CHECKS: tuple[Check, ...] = (
    software.system,
    gpus.gpus,
    software.triton,
    software.repository,
    software.precision,
    resources.shared_memory,
    resources.memory,
    resources.disks,
    resources.free_ports,
    identity.exposure,
    identity.keys,
    identity.certificates,
)
_JSON = "--json"


def examine(host: Host) -> list[Finding]:
    """What every check finds, in their order."""
    return [finding for check in CHECKS for finding in check(host)]


def main(arguments: Sequence[str] | None = None, *, environment: Mapping[str, str] = os.environ) -> int:
    """The command line; see the module's docstring for what it returns."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "-h" in given or "--help" in given:
        print(__doc__.strip())
        return 0
    as_json = _JSON in given
    words = [word for word in given if word != _JSON]
    findings = examine(Host(parse_serve([*_of_container(environment), *words]).options))
    stops = any(finding.level == "stops" for finding in findings)
    if as_json:
        print(json.dumps({"runs": not stops, "findings": [each.to_json() for each in findings]}, indent=1))
    else:
        for finding in findings:
            print(f"{finding.level:<5}  {finding.sentence}")
        print("something here stops the service" if stops else "the service would run here")
    return int(stops)


def _of_container(environment: Mapping[str, str]) -> list[str]:
    """The gateway's options in a container of ours; none elsewhere."""
    if "QFACE_TARGET" not in environment:
        return []
    command = gateway_command((), environment)
    return command[command.index("serve") + 1 :]


if __name__ == "__main__":
    sys.exit(main())
