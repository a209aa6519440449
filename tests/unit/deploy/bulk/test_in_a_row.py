"""Failures of which it is told whether they are the photos' own."""

import pytest

from deploy.bulk.answering.base import CannotAnswer
from deploy.bulk.answering.in_a_row import InARow
from deploy.bulk.photo import Cause
from qface_client.errors import ServerError


def test_failures_that_all_photos_have_are_no_photos() -> None:
    failures = InARow()
    error = ServerError("the network can't be loaded")
    for _ in range(3):
        for _ in range(19):
            assert failures.failed(error).cause is Cause.NOT_ANSWERED
        failures.answered()
    for _ in range(19):
        failures.failed(error)
    with pytest.raises(CannotAnswer, match=r"20 photos failed one after the other, .* can't be loaded"):
        failures.failed(error)
