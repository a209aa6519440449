"""A request that Tritons died of is refused for a while; a suspect is cleared by its answer."""

from deploy.gateway.backends.blame import Blame


def test_what_was_accused_is_refused_until_its_time_has_passed() -> None:
    now = 0.0
    blame = Blame(600.0, clock=lambda: now)
    assert not blame.digests
    blame.accuse("a")
    now = 300.0
    blame.accuse("b")
    assert blame.is_blamed("a")
    now = 600.0
    assert not blame.is_blamed("a")
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
    assert blame.is_blamed("a")


def test_a_suspect_is_known_and_not_refused_until_an_answer_clears_it() -> None:
    blame = Blame(600.0)
    blame.suspect("a")
    blame.suspect("b")
    assert blame.digests == {"a", "b"}
    assert not blame.is_blamed("a")
    blame.clear("a")
    assert blame.digests == {"b"}
    blame.accuse("b")
    blame.clear("b")
    assert blame.is_blamed("b")


def test_no_more_are_remembered_than_fit() -> None:
    blame = Blame(600.0)
    for number in range(5000):
        blame.accuse(str(number))
    assert len(blame.digests) == 4096
    assert "4999" in blame.digests
