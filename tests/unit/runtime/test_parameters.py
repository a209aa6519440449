"""Request parameters: described once, written into a configuration, read and checked by it."""

import json
from typing import Any

import pytest

from runtime.detect.search import USUAL_LIMITS, USUAL_SEARCH, Search, SearchLimits, read_search
from runtime.errors import InvalidInput
from runtime.parameters import Parameter, parse, to_text

TAKEN = USUAL_LIMITS.parameters()


def test_descriptions_are_read_as_they_were_written() -> None:
    assert parse(to_text(TAKEN)) == TAKEN
    for described in json.loads(to_text(TAKEN)).values():
        assert described.keys() >= {"type", "minimum", "maximum", "description"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"a": 1}',
        '{"a": {}}',
        '{"a": {"type": "number"}}',
        '{"a": {"type": "number", "minimum": "0", "maximum": "1"}}',
        '{"a": {"type": "number", "minimum": 1, "maximum": 0}}',
        '{"a": {"type": "number", "minimum": 0, "maximum": 1, "default": "half"}}',
        '{"a": {"type": "number", "minimum": 0, "maximum": 1, "x-work-steps": "0.5"}}',
    ],
)
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="request parameters can't be read"):
        parse(text)


@pytest.mark.parametrize(
    ("kind", "taken", "refused"),
    [
        ("number", [0, 1, 2.5, 3], [-1, 3.01, float("nan"), float("inf"), "1", True, None, [1]]),
        ("integer", [0, 3], [1.0, 4, -1, 1 << 63, "1", False, None]),
    ],
)
def test_values_of_the_type_and_in_the_range_are_taken(
    kind: str, taken: list[Any], refused: list[Any]
) -> None:
    parameter = Parameter(type=kind, minimum=0, maximum=3)
    assert all(parameter.takes(value) for value in taken)
    assert not any(parameter.takes(value) for value in refused)


def test_a_request_that_says_nothing_wants_the_usual_search() -> None:
    for sent in ("", "{}", '{"priority": 1, "of somebody else": "x"}'):
        assert read_search(sent, TAKEN) == USUAL_SEARCH


def test_a_request_s_own_values_stand_for_the_usual_ones() -> None:
    sent = json.dumps({"min_score": 1, "max_faces": 2, "min_face": 0.25})
    assert read_search(sent, TAKEN) == Search(min_score=1, max_faces=2, min_face=0.25)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"min_score": 0.05}, "min_score can't be 0.05: send a number of 0.1 to 1, or leave it out"),
        ({"min_score": "high"}, "min_score can't be high: send a number"),
        ({"max_faces": 321}, "max_faces can't be 321: send an integer of 1 to 320"),
        ({"max_faces": 2.0}, "max_faces can't be 2.0: send an integer"),
        ({"max_faces": True}, "max_faces can't be True: send an integer"),
        ({"min_face": 0.001}, "min_face can't be 0.001: send a number of 0.004 to 1"),
        ({"min_face": float("nan")}, "min_face can't be nan: send a number"),
    ],
)
def test_values_that_are_not_taken_are_refused_in_a_sentence(sent: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_search(json.dumps(sent), TAKEN)


def test_a_server_s_own_limits_bound_its_requests() -> None:
    taken = SearchLimits(max_faces=1024, min_face=0.01).parameters()
    assert read_search("{}", taken).max_faces == 1024
    assert read_search('{"max_faces": 900, "min_face": 0.01}', taken).max_faces == 900
    with pytest.raises(InvalidInput, match=r"0\.01 to 1"):
        read_search('{"min_face": 0.009}', taken)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_faces": 0},
        {"max_faces": 100_000},
        {"min_face": 0.0},
        {"min_face": 2.0},
        {"min_face": float("nan")},
    ],
)
def test_limits_that_can_t_be_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"--max-faces|--min-face"):
        SearchLimits(**limits)
