"""A request that killed is refused for a while, and then no longer."""

from deploy.gateway.backends.blame import Blame


def test_what_was_accused_is_refused_until_its_time_has_passed() -> None:
    now = 0.0
    blame = Blame(600.0, clock=lambda: now)
    assert not blame.digests
    blame.accuse("a")
    now = 300.0
    blame.accuse("b")
    assert blame.digests == {"a", "b"}
    now = 600.0
    assert blame.digests == {"b"}
    now = 900.0
    assert not blame.digests


def test_who_is_accused_again_is_refused_for_longer() -> None:
    now = 0.0
    blame = Blame(600.0, clock=lambda: now)
    blame.accuse("a")
    now = 300.0
    blame.accuse("a")
    now = 700.0
    assert blame.digests == {"a"}


def test_no_more_are_remembered_than_fit() -> None:
    blame = Blame(600.0)
    for number in range(5000):
        blame.accuse(str(number))
    assert len(blame.digests) == 4096
    assert "4999" in blame.digests
