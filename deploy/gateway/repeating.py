"""What is done again and again while the gateway lives, whatever goes wrong in between."""

import asyncio
from collections.abc import Awaitable, Callable


async def repeat(
    step: Callable[[], Awaitable[None]], *, seconds: float, what: str, log: Callable[[str], None]
) -> None:
    """Does `step` again and again with `seconds` in between, until cancelled.

    An exception ends one step only. `log` gets one sentence for each kind of them, with `what` was done.
    """
    seen: set[type[Exception]] = set()
    while True:
        try:
            await step()
        except Exception as error:  # whatever it is: nobody else would begin again
            if type(error) not in seen:
                seen.add(type(error))
                log(f"{what} failed once and goes on: {error!r}")
        await asyncio.sleep(seconds)
