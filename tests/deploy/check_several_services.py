"""Three real services under load by three ways of balancing: one killed, drained, slowed, cut off.

python -m tests.deploy.check_several_services --report FILE
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.helpers.paths import ROOT

_PROGRAM = "deploy.benchmark.several_services"
_ABOUT = f"""# Several services, {{date}}

What callers see of three gateways, each with its Triton, when something happens to one of them: by the
client's own `round_robin`, by Envoy and by nginx, with the files of
[deploy/balancing](../../deploy/balancing).

```bash
python -m tests.deploy.check_several_services --report FILE    # or: python -m {_PROGRAM}
```

Callers by all three ways go on at once; a way has three FaceClients as they are and one with
`retries=False`. They send crops and a photo, each compared with the answer of a service that is well.
*Lost* is a call whose caller got an error; *sent once* are the calls without retries, of which a dying
service may lose what it had under way. Over REST one caller posts the photo by each balancer, and never tries
again.

- **killed**: SIGKILL to supervisor, main process, Triton, all models at once; started again five seconds
  later.
- **drained**: SIGTERM; started again five seconds later.
- **slowed**: its main process is stopped for four fifths of ten seconds, in turns of two seconds.
- **cut off**: the network of its namespace is down for 35 seconds, without a word to those at the other
  end.

{{tables}}
The counts of *answered by each* are the services' own, in their order; the first is killed, the second
drained, the third slowed and cut off. All services, callers and balancers share one machine's cores, and a
service is started anew on them meanwhile: so are the times. For the same reason three services answer about
as much as one here, give or take what else the machine does, and the second table shows what spreading
costs. On hosts of their own they add up, until what is in front is full.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, required=True)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.md"
        status = subprocess.run(
            [sys.executable, "-m", _PROGRAM, "--table", str(table)], cwd=ROOT, check=False
        ).returncode
        if table.exists():
            date = options.report.stem[:10]
            options.report.write_text(_ABOUT.format(date=date, tables=table.read_text()))
    return status


if __name__ == "__main__":
    sys.exit(main())
