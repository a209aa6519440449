"""What a person sees of a run: plain lines in a log, and a live one below them in a terminal."""

import datetime
import io

import pytest

from training.train.watching.terminal import Display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(log: io.StringIO) -> str:
    display = Display(20, start=10, log=log, now=lambda: datetime.datetime(2026, 3, 1, 23, 0))
    for step in range(11, 16):
        if step % 2:
            display.line(f"step {step}/20")
        display.step(seconds_left=4000.0)
    display.close()
    return log.getvalue()


def test_a_log_has_lines_and_nothing_else() -> None:
    assert shown(io.StringIO()) == "step 11/20\nstep 13/20\nstep 15/20\n"


def test_a_terminal_has_a_live_line_too_which_goes_at_the_end() -> None:
    text = shown(Terminal())
    assert "step 11/20\n" in text
    assert "\r 50 % |" in text
    assert "| step 12/20, 1 h 06 min left, until 2026-03-02 00:06" in text
    # The last thing that is drawn is an empty line.
    assert text.rsplit("\r", 2)[1].strip() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12, "12 s left, until 23:00"),
        (123, "2 min 03 s left, until 23:02"),
        (3900, "1 h 05 min left, until 2026-03-02 00:05"),
    ],
)
def test_the_time_that_is_left_has_its_end(seconds: float, text: str) -> None:
    display = Display(20, start=0, log=io.StringIO(), now=lambda: datetime.datetime(2026, 3, 1, 23, 0))
    assert display.remaining(seconds) == text
