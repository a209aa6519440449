"""Which tasks a request asks for, and that a key gets no more than its own."""

import json
from collections.abc import Collection

import grpc
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.identity import ANYBODY, Caller, permit, tasks_of
from deploy.gateway.refusals import Refusal
from tests.helpers.paths import ROOT

TASKS = ("mask", "mask_fine", "age")
WITH_ERROR = {"version": 1, "tasks": [{"name": "age", "error": {"unit": "years"}}, {"name": "mask"}]}
CONTRACT = {"version": 1, "tasks": [{"name": name} for name in TASKS]}


def served(*configs: model_config_pb2.ModelConfig, generation: int = 1) -> ServedModels:
    return ServedModels.of(
        generation=generation,
        server=service_pb2.ServerMetadataResponse(),
        configs={each.name: service_pb2.ModelConfigResponse(config=each) for each in configs},
        metadata={},
    )


def model(name: str, *outputs: str, contract: object = None) -> model_config_pb2.ModelConfig:
    config = model_config_pb2.ModelConfig(name=name)
    for output in outputs:
        config.output.add(name=output)
    if contract is not None:
        config.parameters["contract"].string_value = json.dumps(contract)
    return config


ALL = model("photo", "boxes", "age", "age_value", "mask_png", "mask_fine_png", "contract", contract=CONTRACT)
SMALL = served(
    ALL,
    model("age", "age_value", "contract", contract=CONTRACT),
    model("engine", "age", "mask", "mask_fine", contract=CONTRACT),
    model("part", "mask_fine_runs", contract=CONTRACT),
    model("find", "boxes"),
    model("prepare", "boxes", "pixels"),
    model("empty"),
    model("errors_engine", "age", "age_error", "mask", "mask_error", contract=WITH_ERROR),
    model("errors_photo", "age_value", "age_error", "mask_png", "contract", contract=WITH_ERROR),
    model("other_photo", "age_value", "weight_value", "contract", contract={"tasks": [{"name": "weight"}]}),
    model("damaged", "age_value", "contract", contract={"tasks": 3}),
)


def caller(*tasks: str) -> Caller:
    return Caller(name="camera", tasks=frozenset(tasks))


def allowed(who: Caller, name: str, outputs: Collection[str] = (), *, among: ServedModels = SMALL) -> bool:
    try:
        permit(who, model=name, outputs=outputs, served=among)
    except Refusal:
        return False
    return True


def test_a_key_gets_the_outputs_of_its_tasks() -> None:
    assert allowed(caller("age"), "photo", ["age_value", "boxes", "contract"])
    assert allowed(caller("age"), "age")
    assert allowed(caller("age"), "age", ["age_value"])
    assert allowed(caller(*TASKS), "photo")


def test_a_key_does_not_get_those_of_others() -> None:
    assert not allowed(caller("age"), "photo", ["age_value", "mask_png"])
    assert not allowed(caller("mask"), "age", ["age_value"])


def test_no_output_named_means_all_of_them() -> None:
    assert not allowed(caller("age"), "photo")


def test_a_task_whose_name_begins_with_anothers_is_its_own() -> None:
    assert allowed(caller("mask"), "photo", ["mask_png"])
    assert not allowed(caller("mask"), "photo", ["mask_fine_png"])
    assert allowed(caller("mask_fine"), "photo", ["mask_fine_png"])
    assert not allowed(caller("mask_fine"), "photo", ["mask_png"])


def test_an_output_with_just_a_tasks_name_is_no_answer_of_it() -> None:
    assert allowed(caller("mask"), "photo", ["age"]), "a detector's landmarks have a task's name"


@pytest.mark.parametrize("name", ["engine", "part", "prepare", "empty", "damaged"])
def test_steps_inside_other_models_are_closed(name: str) -> None:
    assert not allowed(caller(*TASKS), name)


def test_finding_faces_is_open_as_every_model_that_answers_tasks_does_it() -> None:
    assert allowed(caller("mask"), "find")


def test_each_network_has_its_own_contract() -> None:
    assert not allowed(caller("age"), "other_photo", ["weight_value"])
    assert allowed(caller("weight"), "other_photo")


@pytest.mark.parametrize(
    ("name", "outputs", "tasks"),
    [
        ("photo", ["age_value", "boxes", "contract"], {"age"}),
        ("photo", ["mask_fine_png", "mask_png"], {"mask", "mask_fine"}),
        ("photo", [], set(TASKS)),
        ("photo", ["boxes"], set()),
        ("age", [], {"age"}),
        ("engine", ["age", "mask"], {"age", "mask"}),
        ("part", [], {"mask_fine"}),
        ("find", [], set()),
        ("prepare", [], set()),
        ("damaged", [], set()),
        ("missing", [], set()),
    ],
)
def test_the_tasks_of_a_request_are_known_wherever_it_goes(
    name: str, outputs: list[str], tasks: set[str]
) -> None:
    assert tasks_of(model=name, outputs=outputs, served=SMALL) == tasks


def test_an_engine_s_heads_of_tasks_that_are_not_served_are_given_to_nobody() -> None:
    partly = served(model("engine", "age", "age_group", "race", contract={"tasks": [{"name": "age"}]}))
    for outputs in ([], ["race"], ["age", "age_group"]):
        assert not allowed(ANYBODY, "engine", outputs, among=partly)
    assert allowed(ANYBODY, "engine", ["age"], among=partly)
    assert tasks_of(model="engine", outputs=[], served=partly) == {"age"}


def test_an_expected_error_belongs_to_its_task() -> None:
    assert allowed(caller("age"), "errors_photo", ["age_value", "age_error"])
    assert not allowed(caller("mask"), "errors_photo", ["age_error"])
    assert allowed(ANYBODY, "errors_engine", ["age", "age_error"])
    assert tasks_of(model="errors_engine", outputs=["age_error"], served=SMALL) == {"age"}
    for outputs in ([], ["mask_error"]):
        assert not allowed(ANYBODY, "errors_engine", outputs), "a head that the contract does not have"


def test_callers_without_restriction_may_everything_that_is_served() -> None:
    for name in ("photo", "engine", "prepare", "missing"):
        assert allowed(ANYBODY, name)


def test_a_model_that_is_not_served_is_left_to_who_forwards() -> None:
    assert allowed(caller("age"), "missing")


def test_the_sentence_lists_what_the_key_may_ask() -> None:
    with pytest.raises(Refusal) as raised:
        permit(caller("age", "mask"), model="photo", outputs=["mask_fine_png"], served=SMALL)
    assert "'camera' may ask for age, mask" in raised.value.sentence
    assert "asks for mask_fine" in raised.value.sentence
    assert raised.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert raised.value.retry_after is None


def test_a_swap_brings_its_own_tasks() -> None:
    wider = model("photo", "age_value", "contract", contract={"tasks": [{"name": "age_value"}]})
    assert allowed(caller("age"), "photo", ["age_value"])
    assert allowed(caller("age"), "photo", ["age_value"], among=served(wider, generation=2))
    swapped = served(model("photo", "age_value", "contract", contract={"tasks": []}), generation=3)
    assert allowed(caller("none"), "photo", ["age_value"], among=swapped)
    assert not allowed(caller("none"), "photo", ["age_value"])
    again = served(ALL, generation=3)  # another server that counts anew
    assert not allowed(caller("none"), "photo", ["age_value"], among=again)


def test_the_repository_as_it_stands_gives_each_task_to_its_key_alone() -> None:
    configs = [
        text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
        for path in sorted((ROOT / "model_repository").glob("*/config.pbtxt"))
    ]
    real = served(*configs, generation=40)
    contract = next(c for c in configs if "contract" in c.parameters).parameters["contract"].string_value
    tasks = [task["name"] for task in json.loads(contract)["tasks"]]
    by_name = {config.name: config for config in configs}
    ensembles = [name for name in tasks if name in by_name]
    assert len(ensembles) > 5
    for task in ensembles:
        who = caller(task)
        assert allowed(who, task, among=real)
        own = [output.name for output in by_name[task].output]
        for whole in ("photo_analysis", "face_analysis", "crop_analysis"):
            assert allowed(who, whole, own, among=real)
            assert not allowed(who, whole, among=real)
        assert allowed(who, "photo_analysis", ["boxes", "scores", "landmarks", "photo_size"], among=real)
        assert allowed(who, "face_detect", among=real)
        for other in ensembles:
            assert allowed(who, other, among=real) == (other == task)
        for step in ("face_engine", "face_preprocess", "crop_preprocess"):
            assert not allowed(who, step, among=real)
