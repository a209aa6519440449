"""ServedModels: what one Triton serves, for validation and for answering metadata without it."""

import dataclasses
import functools
from collections.abc import Mapping

from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.signatures import Signature, is_internal, signature_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedModels:
    """Read once from a Triton that has become ready; immutable, so that a swap replaces it whole."""

    generation: int  # of the backend
    server_metadata: bytes  # a ServerMetadataResponse
    configs: Mapping[str, bytes]  # by model: a ModelConfigResponse
    metadata: Mapping[str, bytes]  # by model: a ModelMetadataResponse

    @classmethod
    def of(
        cls,
        *,
        generation: int,
        server: "v2.ServerMetadataResponse",
        configs: Mapping[str, "v2.ModelConfigResponse"],
        metadata: Mapping[str, "v2.ModelMetadataResponse"],
    ) -> "ServedModels":
        """From Triton's own messages."""
        return cls(
            generation=generation,
            server_metadata=server.SerializeToString(),
            configs={name: message.SerializeToString() for name, message in configs.items()},
            metadata={name: message.SerializeToString() for name, message in metadata.items()},
        )

    @functools.cached_property
    def signatures(self) -> Mapping[str, Signature]:
        """By model that clients may call, what it takes and answers; read at the first use."""
        return {
            name: signature_of(config, self.metadata[name])
            for name, config in self.configs.items()
            if not is_internal(config)
        }
