"""Who calls: by key or by certificate, and what an unknown caller gets."""

from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest

from deploy.gateway.identity import ANYBODY, Caller, Identities
from deploy.gateway.identity.callers import certificate_name
from deploy.gateway.identity.keys import hash_of, new_key
from deploy.gateway.options import Identity
from deploy.gateway.refusals import Refusal

KEY = new_key()
ANDROID = new_key()


@pytest.fixture
def identities(tmp_path: Path) -> Identities:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    path.write_text(
        f'[keys.camera]\nsha256 = "{hash_of(KEY).hex()}"\nrate = 3\ntasks = ["one"]\n'
        f'[keys.android]\nsha256 = "{hash_of(ANDROID).hex()}"\n'
    )
    return Identities(Identity(keys=path))


def no_context() -> dict[str, list[bytes]]:
    raise AssertionError("reading the connection's context costs time, and keys do not need it")


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", f"Bearer {KEY}")],
        [("user-agent", "x"), ("authorization", f"bearer  {KEY} ")],
        [("x-api-key", KEY)],
        [("authorization", "Basic abc"), ("x-api-key", KEY)],
        [("authorization", "Bearer "), ("x-api-key", KEY)],
        [("x-api-key", ANDROID), ("authorization", f"Bearer {KEY}")],
    ],
)
def test_a_key_names_the_caller(identities: Identities, metadata: Sequence[tuple[str, str]]) -> None:
    caller = identities.identify(metadata, no_context)
    assert caller == Caller(name="camera", tasks=frozenset({"one"}), per_second=3.0)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (None, "needs an API key"),
        ([("authorization", "Bearer ")], "needs an API key"),
        ([("authorization", KEY)], "needs an API key"),
        ([("x-api-key-bin", KEY.encode())], "needs an API key"),
        ([("authorization", "Bearer qface_guessed")], "unknown"),
        ([("authorization", "Bearer qface_guessed"), ("x-api-key", KEY)], "unknown"),
    ],
)
def test_others_are_refused_and_no_key_is_repeated(
    identities: Identities, metadata: Sequence[tuple[str, str | bytes]] | None, words: str
) -> None:
    with pytest.raises(Refusal, match=words) as raised:
        identities.identify(metadata, no_context)
    assert raised.value.code is grpc.StatusCode.UNAUTHENTICATED
    assert raised.value.retry_after is None
    assert "guessed" not in raised.value.sentence


def test_without_identity_anybody_may_call() -> None:
    assert Identities(Identity()).identify([("authorization", "Bearer x")], no_context) is ANYBODY
    assert ANYBODY.tasks is None


def test_a_certificate_names_the_caller_where_there_are_no_keys(tmp_path: Path) -> None:
    identities = Identities(Identity(client_authorities=tmp_path / "ca.pem"))
    context = {"x509_common_name": [b"camera 3"], "x509_subject_alternative_name": [b"other"]}
    assert identities.identify((), lambda: context) == Caller(name="camera 3")


def test_a_certificate_without_a_common_name_has_its_alternative_name() -> None:
    assert certificate_name({"x509_subject_alternative_name": [b"spiffe://house/camera"]}) == (
        "spiffe://house/camera"
    )


def test_a_name_can_not_break_a_log_line() -> None:
    name = certificate_name({"x509_common_name": ['a"\n\\é'.encode() + b"\xff" + b"x" * 500]})
    assert name.startswith("a????")
    assert len(name) <= 128
    assert name.isascii()
    assert name.isprintable()


def test_a_certificate_without_any_name_is_refused() -> None:
    with pytest.raises(Refusal, match="common name") as raised:
        certificate_name({"transport_security_type": [b"ssl"]})
    assert raised.value.code is grpc.StatusCode.UNAUTHENTICATED
