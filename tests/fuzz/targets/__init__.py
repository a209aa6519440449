"""All targets by name. One module a target."""

from tests.fuzz.target import Target
from tests.fuzz.targets import client_answer, crop, decode, marker_walk, request_reader, rest_reader

TARGETS: dict[str, Target] = {
    module.TARGET.name: module.TARGET
    for module in (decode, marker_walk, crop, request_reader, rest_reader, client_answer)
}
