"""What Prometheus reads of answers: blocks added up, for contracts that are served, beside the reference."""

from prometheus_client import CollectorRegistry

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability.answer_series import AnswerSeries
from tests.helpers.fake_authority import model, served_models
from tests.helpers.watched_answers import CONTRACT, block, with_contract

HASH = CONTRACT.hash
T = {"contract": HASH, "task": "t"}


class Page:
    """The series of a service whose models are changed by hand."""

    def __init__(self, served: ServedModels | None) -> None:
        self.served = served
        self.series = AnswerSeries(lambda: self.served)
        self._registry = CollectorRegistry()
        self._registry.register(self.series)

    def value(self, name: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(name, labels)


def test_blocks_add_up() -> None:
    page = Page(served_models(with_contract()))
    assert page.value("qface_answer_faces_total", **T) == 0
    page.series.add(block(faces=50, mean=0.5))
    page.series.add(block(faces=150, mean=0.25))
    assert page.value("qface_answer_faces_total", **T) == 200
    assert page.value("qface_answer_sum_total", **T, label="x", sign="positive") == 62.5
    assert page.value("qface_answer_sum_total", **T, label="y", sign="negative") == 62.5
    assert page.value("qface_answer_squares_total", **T, label="x") == 50 * 0.25 + 150 * 0.0625


def test_only_contracts_that_are_served_are_shown_and_they_go_on_when_they_come_back() -> None:
    page = Page(served_models(with_contract()))
    page.series.add(block(faces=50))
    first, page.served = page.served, served_models(model("another"), generation=2)
    assert page.value("qface_answer_faces_total", **T) is None
    page.served = first
    assert page.value("qface_answer_faces_total", **T) == 50


def test_the_reference_is_that_of_what_is_served() -> None:
    reference = {"t": {"x": [0.5, 0.125], "no such label": [0, 1]}, "no such task": {"x": [0, 1]}}
    page = Page(served_models(with_contract(reference)))
    assert page.value("qface_answer_reference_mean", **T, label="x") == 0.5
    assert page.value("qface_answer_reference_deviation", **T, label="x") == 0.125
    assert page.value("qface_answer_reference_mean", **T, label="no such label") is None
    page.served = None
    assert page.value("qface_answer_reference_mean", **T, label="x") is None


def test_a_reference_that_can_not_be_read_costs_nothing_else() -> None:
    page = Page(served_models(with_contract({"t": ["x"]})))
    page.series.add(block(faces=50))
    assert page.value("qface_answer_reference_mean", **T, label="x") is None
    assert page.value("qface_answer_faces_total", **T) == 50
