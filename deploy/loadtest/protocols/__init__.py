"""The ways of asking a server: each a `Door`, by its name."""

from collections.abc import Mapping

from deploy.loadtest.protocols.base import Door
from deploy.loadtest.protocols.rest import RestDoor
from deploy.loadtest.protocols.v2_grpc import GrpcDoor
from deploy.loadtest.protocols.v2_http import HttpDoor

doors: Mapping[str, Door] = {door.name: door for door in (GrpcDoor(), RestDoor(), HttpDoor())}
