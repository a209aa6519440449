"""ServedContracts: what the served models say of themselves, for requests and for reading answers."""

import collections
import dataclasses
from collections.abc import Mapping

import grpc
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.request import quoted
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.refusals import Refusal
from qface_client.contract import Contract, ModelInfo
from qface_client.errors import ContractError
from qface_client.reading import ENGINE_MODEL, PHOTO_MODEL, model_info
from runtime.parameters import Parameter

_GENERATIONS = 3  # that are kept: during a swap requests for two of them come in turns
_CONTRACTS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotoModel:
    """What answers photos, of one network."""

    info: ModelInfo
    contract: Contract
    parameters: Mapping[str, Parameter]  # that a request may set


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedPhotos:
    """The photo models of what is served, by network; the first one has the name None too."""

    networks: Mapping[str, PhotoModel]
    first: PhotoModel
    precision: str = ""  # in which the first network's engine computes; "": it is not stated

    def model(self, network: str | None) -> PhotoModel:
        """Refusal (NOT_FOUND) for a network that is not served."""
        if network is None:
            return self.first
        found = self.networks.get(network)
        if found is None:
            names = ", ".join(self.networks) or "one without a name"
            raise _not_found(f"no network {quoted(network)} is served: model= is one of {names}")
        return found


class ServedContracts:
    """Reads each generation once, and keeps contracts by their hash: an answer names the one that it has."""

    def __init__(self) -> None:
        self._read: collections.OrderedDict[int, tuple[ServedModels, ServedPhotos]] = (
            collections.OrderedDict()
        )
        self._contracts: collections.OrderedDict[str, Contract] = collections.OrderedDict()

    def of(self, served: ServedModels) -> ServedPhotos:
        """Refusal (NOT_FOUND) where nothing that is served answers photos by a contract."""
        kept = self._read.get(served.generation)
        if kept is not None and kept[0] is served:
            return kept[1]
        photos = _read(served)
        self._read[served.generation] = served, photos
        while len(self._read) > _GENERATIONS:
            self._read.popitem(last=False)
        for model in (photos.first, *photos.networks.values()):
            self._contracts[model.contract.hash] = model.contract
            self._contracts.move_to_end(model.contract.hash)
        while len(self._contracts) > _CONTRACTS:
            self._contracts.popitem(last=False)
        return photos

    def by_hash(self, hash_: str) -> Contract | None:
        """The contract that an answer names; None where it was never seen."""
        return self._contracts.get(hash_)


def _read(served: ServedModels) -> ServedPhotos:
    first = _photo_model(served, PHOTO_MODEL)
    if first is None:
        raise _not_found(
            f"no model here answers photos (there is no {PHOTO_MODEL} with a contract): call "
            "the models over gRPC"
        )
    networks = {
        name: _photo_model(served, f"{prefix}{PHOTO_MODEL}") for name, prefix in first.info.networks.items()
    }
    return ServedPhotos(
        networks={name: model for name, model in networks.items() if model is not None},
        first=first,
        precision=_precision(served),
    )


def _precision(served: ServedModels) -> str:
    if ENGINE_MODEL not in served.configs:
        return ""
    try:
        return model_info(v2.ModelConfigResponse.FromString(served.configs[ENGINE_MODEL])).precision
    except ContractError:
        return ""


def _photo_model(served: ServedModels, name: str) -> PhotoModel | None:
    if name not in served.configs:
        return None
    try:
        info = model_info(v2.ModelConfigResponse.FromString(served.configs[name]))
    except ContractError:
        return None
    if info.contract is None:
        return None
    return PhotoModel(info=info, contract=info.contract, parameters=served.signatures[name].parameters)


def _not_found(sentence: str) -> Refusal:
    return Refusal(grpc.StatusCode.NOT_FOUND, sentence, reason="unknown_model")
