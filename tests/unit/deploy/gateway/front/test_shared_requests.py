"""A request that its client leaves in memory: copied where that is allowed and its own, refused else."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.methods import SERVICE
from deploy.gateway.identity.keys import hash_of, new_key
from deploy.gateway.options import Identity, Limits
from deploy.gateway.shared_memory import METADATA
from tests.helpers.fronts import RunningFront, crops_request, error_of, with_front

EMPTY = v2.ModelInferRequest(model_name="crops").SerializeToString()
REQUEST = crops_request(id="7").SerializeToString()


class Shared:
    """A request in an anonymous file of this process."""

    def __init__(self, content: bytes = REQUEST, *, name: str = "qface-") -> None:
        self.token = secrets.token_hex(16)
        self.descriptor = os.memfd_create(f"{name}{self.token}")
        self.size = len(content)
        os.write(self.descriptor, content)

    def name(self, **changes: Any) -> str:
        """As it goes in the metadata, with parts of it replaced."""
        parts = {
            "process": os.getpid(),
            "descriptor": self.descriptor,
            "token": self.token,
            "size": self.size,
        }
        return ".".join(str(part) for part in (parts | changes).values())


@pytest.fixture
def shared() -> Iterator[Shared]:
    made = Shared()
    yield made
    with contextlib.suppress(OSError):
        os.close(made.descriptor)


def infer(running: RunningFront, named: str, **further: str) -> Any:
    """A call whose message is empty."""
    metadata = ((METADATA, named), *further.items())
    return running.channel.unary_unary(f"/{SERVICE}/ModelInfer")(EMPTY, metadata=metadata, timeout=20)


def test_it_reaches_triton_as_if_it_had_been_sent(shared: Shared) -> None:
    async def test(running: RunningFront) -> None:
        assert await infer(running, shared.name()) == running.triton.answer
        assert running.triton.requests == [REQUEST]
        (work,) = running.authority.admitted
        assert work.cost.bytes == len(REQUEST)

    with_front(test, shared_memory=True)


def named_nothing(shared: Shared) -> str:
    return "somewhere"


def named_by_another_token(shared: Shared) -> str:
    return shared.name(token=secrets.token_hex(16))


def of_a_process_that_is_not(shared: Shared) -> str:
    return shared.name(process=2**22 + 1)  # beyond the largest that Linux gives


def of_another_descriptor(shared: Shared) -> str:
    return shared.name(descriptor=0)


def longer_than_it_is(shared: Shared) -> str:
    return shared.name(size=shared.size + 1)


def shortened(shared: Shared) -> str:
    os.ftruncate(shared.descriptor, 0)
    return shared.name()


def closed(shared: Shared) -> str:
    os.close(shared.descriptor)
    return shared.name()


def that_is_a_file_of_the_machine(shared: Shared) -> str:
    path = Path(tempfile.mkdtemp()) / f"memfd:qface-{shared.token}"
    path.write_bytes(REQUEST)
    return shared.name(descriptor=os.open(path, os.O_RDONLY))


def that_is_a_file_of_the_same_name(shared: Shared) -> str:
    path = Path(f"/memfd:qface-{shared.token}")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    except OSError:
        pytest.skip("no file can be made in /")
    path.unlink()  # its name ends as that of anonymous memory now
    os.write(descriptor, REQUEST)
    return shared.name(descriptor=descriptor)


def with_a_path_in_it(shared: Shared) -> str:
    return f"{os.getpid()}.../../../etc.{shared.token}.3"


WRONG = (
    named_nothing,
    named_by_another_token,
    of_a_process_that_is_not,
    of_another_descriptor,
    longer_than_it_is,
    shortened,
    closed,
    that_is_a_file_of_the_machine,
    that_is_a_file_of_the_same_name,
    with_a_path_in_it,
)


@pytest.mark.parametrize("name", WRONG, ids=lambda wrong: wrong.__name__)
def test_memory_that_is_not_what_was_made_for_it_is_refused_without_a_word_of_why(
    shared: Shared, name: Callable[[Shared], str]
) -> None:
    async def test(running: RunningFront) -> None:
        error = await error_of(infer(running, name(shared)))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (error.details() or "").startswith("the memory that the request names can't be read")
        assert running.authority.turned_away == [("", "region")]
        assert not running.triton.requests

    with_front(test, shared_memory=True)


def test_what_is_beyond_the_limit_is_refused_before_it_is_copied(shared: Shared) -> None:
    async def test(running: RunningFront) -> None:
        error = await error_of(infer(running, shared.name(size=10**11)))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "may have 1000" in (error.details() or "")

    with_front(test, shared_memory=True, limits=Limits(request_bytes=1000))


def test_it_is_validated_like_any_other() -> None:
    async def test(running: RunningFront) -> None:
        error = await error_of(infer(running, Shared(b"no request").name()))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert not running.triton.requests

    with_front(test, shared_memory=True)


def test_without_the_option_the_message_is_the_request(shared: Shared) -> None:
    async def test(running: RunningFront) -> None:
        error = await error_of(infer(running, shared.name()))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert not running.triton.requests

    with_front(test)


def test_a_strangers_is_not_looked_at(shared: Shared, tmp_path: Path) -> None:
    key, keys = new_key(), tmp_path / "keys.toml"
    keys.write_text(f'[keys.shop]\nsha256 = "{hash_of(key).hex()}"\n')
    keys.chmod(0o600)

    async def test(running: RunningFront) -> None:
        error = await error_of(infer(running, shared.name()))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        await infer(running, shared.name(), authorization=f"Bearer {key}")
        assert running.triton.requests == [REQUEST]

    with_front(test, shared_memory=True, identity=Identity(keys=keys))
