"""A network in this machine's cores, by the client's local engine: one thread, a photo at a time."""

from pathlib import Path

from deploy.bulk.answering.base import CannotAnswer, LocalEngine, Request
from deploy.bulk.answering.digest import network_digest
from deploy.bulk.answering.in_a_row import InARow
from deploy.bulk.answering.rows import answered, check_search, library_versions
from deploy.bulk.photo import Cause, Failed, Outcome
from deploy.bulk.settings import Description
from qface_client.errors import InvalidInput, QFaceError, ServerError
from qface_client.local import LocalFaceClient

# How long a call may wait for its turn: there is one thread, which never waits.
_SECONDS = 3600.0


class EngineAnswering:
    """The same photo gives the same rows to the last bit, whichever photos are answered beside it: faces are
    batched by photo, and one thread computes."""

    def __init__(self, source: LocalEngine, request: Request) -> None:
        self._source = source
        self._request = request
        self._failures = InARow()
        try:
            self._client = LocalFaceClient(
                source.network, threads=1, timeout=_SECONDS, expect_contract=request.contract
            )
        except (QFaceError, ImportError) as error:
            raise CannotAnswer(str(error), refused=True) from error
        # Its files may have been exchanged since the run began, while the contract stayed.
        if request.digest and network_digest(Path(source.network)) != request.digest:
            raise CannotAnswer(
                f"{source.network} is another network than when the run began: bring it back, or name "
                "another --output",
                refused=True,
            )

    def describe(self) -> Description:
        try:
            contract = self._client.contract(model=self._source.model)
            contract.select(self._request.tasks)
            check_search(self._client, self._request, model=self._source.model)
            return Description(
                contract=contract.to_dict(),
                network=self._source.network,
                precision=self._client.precision(model=self._source.model),
                versions=library_versions(),
            )
        except QFaceError as error:
            raise CannotAnswer(str(error), refused=True) from error

    def answer(self, data: bytes) -> Outcome:
        try:
            analysis = self._client.analyze(
                data, self._request.tasks, model=self._source.model, **self._request.search.given()
            )
        except InvalidInput as error:
            self._failures.answered()
            return Failed(cause=Cause.UNUSABLE, reason=str(error))
        except ServerError as error:  # of this photo alone, as for lack of memory, unless all have it
            return self._failures.failed(error)
        except QFaceError as error:
            raise CannotAnswer(str(error), refused=True) from error
        self._failures.answered()
        return answered(analysis, masks=self._request.masks)

    def close(self) -> None:
        self._client.close()
