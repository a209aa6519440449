"""Servers, by the client: some photos under way at once."""

import time

from deploy.bulk.answering.base import CannotAnswer, Request, Servers
from deploy.bulk.answering.in_a_row import InARow
from deploy.bulk.answering.rows import answered, check_search, library_versions
from deploy.bulk.photo import Cause, Failed, Outcome
from deploy.bulk.settings import Description
from qface_client import FaceClient
from qface_client.errors import (
    ConnectError,
    InvalidInput,
    QFaceError,
    RequestTimeout,
    ServerBusy,
    ServerError,
)


class ServersAnswering:
    """Answers are the servers' own; their digits may differ in the last place with what they batch."""

    def __init__(self, source: Servers, request: Request) -> None:
        self._source = source
        self._request = request
        self._answered_at = time.monotonic()
        self._failures = InARow()
        try:
            self._client = FaceClient(
                list(source.urls),
                timeout=source.timeout,
                expect_contract=request.contract,
                **source.access,
            )
        except QFaceError as error:
            raise CannotAnswer(str(error), refused=True) from error

    def describe(self) -> Description:
        model = self._source.model
        try:
            contract = self._client.contract(model=model)
            contract.select(self._request.tasks)
            precision = self._client.precision(model=model)
            check_search(self._client, self._request, model=model)
        except QFaceError as error:
            raise CannotAnswer(str(error), refused=not error.retryable) from error
        return Description(
            contract=contract.to_dict(),
            network=model or "servers",
            precision=precision,
            versions=library_versions(),
        )

    def answer(self, data: bytes) -> Outcome:
        began = time.monotonic()
        try:
            analysis = self._client.analyze(
                data, self._request.tasks, model=self._source.model, **self._request.search.given()
            )
        except InvalidInput as error:
            self._note_answer()
            return Failed(cause=Cause.UNUSABLE, reason=str(error))
        except (ConnectError, ServerBusy) as error:
            # The client has tried again until the photo's deadline: nobody answers.
            raise CannotAnswer(str(error)) from error
        except RequestTimeout as error:
            if self._answered_at < began and not self._client.is_ready(timeout=5.0):
                raise CannotAnswer(str(error)) from error
            return self._failures.failed(error)
        except ServerError as error:
            return self._failures.failed(error)
        except QFaceError as error:  # a key that is refused now, another contract
            raise CannotAnswer(str(error), refused=True) from error
        self._note_answer()
        return answered(analysis, masks=self._request.masks)

    def close(self) -> None:
        self._client.close()

    def _note_answer(self) -> None:
        self._answered_at = time.monotonic()
        self._failures.answered()
