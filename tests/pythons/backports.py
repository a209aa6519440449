"""What the tests and the fake server need and Python 3.10 lacks. The client itself does without.

Every program of an environment for tests imports it when it starts.
"""

import datetime
import typing

import typing_extensions

for name in ("Self", "assert_never"):
    if not hasattr(typing, name):
        setattr(typing, name, getattr(typing_extensions, name))
if not hasattr(datetime, "UTC"):
    datetime.UTC = datetime.timezone.utc  # type: ignore[misc]  # noqa: UP017
