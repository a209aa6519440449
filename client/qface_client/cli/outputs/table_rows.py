"""A photo's outcome as rows of a table whose columns are those of one contract."""

from collections.abc import Iterator
from typing import Any

from ...contract import Contract
from ...errors import ContractError
from ...tables import rows
from .answered import Answered


def table_rows(answered: Answered, contract: Contract) -> Iterator[dict[str, Any]]:
    """A row a face, or one row for the photo; ContractError where it was answered by another contract."""
    outcome = answered.analysis if answered.analysis is not None else answered.error
    if outcome is None:
        raise ValueError(f"{answered.picture.name} has neither an analysis nor an error")
    found = None if answered.analysis is None else answered.analysis.contract
    if found is not None and found.hash != contract.hash:
        raise ContractError(
            f"{answered.picture.name}: the contract has changed from {contract.hash} to {found.hash}, "
            "which has other columns: this photo and those after it are not in the table; run them again"
        )
    return rows(outcome, file=answered.picture.name, photo=answered.index, empty=True)
