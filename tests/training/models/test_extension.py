"""Old answers of an extended network: the same calls compute them, in torch, and engines agree.

Equal calls need not give equal bits on every processor, as a library may choose a kernel by where in memory
a tensor lies. So the calls are compared exactly, and the numbers to `BOUND`.
"""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import build.stages.export
from build.acceptance.comparison_pictures import pictures
from build.acceptance.parity import differences, tolerances
from build.onnx_interface import read_graph
from runtime.engines.openvino import OpenVinoEngine
from tests.helpers.networks.few_layers import FEW_LAYERS
from tests.helpers.old_answers import assert_same
from training.contract import make_contract
from training.models import (
    CONFIGS,
    Checkpoint,
    ExportWrapper,
    QFace,
    build_model,
    build_qface,
    load_checkpoint,
    save_checkpoint,
)
from training.models.checkpoint import round_to_half
from training.models.qface.extension import extended, last_extension
from training.tasks import CATALOGUE
from training.train.random_initialisation import random_checkpoint

# By the number of their queries.
ONE, SEVEN, TWENTY_NINE, SIXTY_EIGHT, MASK = "age", "race", "visibility", "landmarks", "parsing"
BASES = {
    "vit": dataclasses.replace(CONFIGS["qface_test"], tasks=("expression", "gender", "head_pose")),
    "convolutional": dataclasses.replace(FEW_LAYERS, tasks=("expression", "gender", "head_pose")),
}


def base_of(name: str) -> QFace:
    torch.manual_seed(0)
    return build_qface(BASES[name]).eval()


def pixels(count: int) -> torch.Tensor:
    return torch.from_numpy(pictures(count, size=64, seed=4))


class Calls(TorchDispatchMode):
    """Counts the operations that torch runs, by name and by the shapes and types of what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = torch.utils._pytree.tree_leaves((args, kwargs or {}))
        shown = tuple(
            (tuple(value.shape), value.stride(), value.dtype)
            if isinstance(value, torch.Tensor)
            else str(value)
            for value in given
        )
        self.counts[(str(func), shown)] += 1
        return func(*args, **(kwargs or {}))


def calls_of(model: QFace, images: torch.Tensor) -> Counter[tuple[Any, ...]]:
    with torch.no_grad(), Calls() as calls:
        model(images)
    return calls.counts


def test_the_added_tasks_have_the_numbers_of_queries_that_the_tests_say() -> None:
    counts = [CATALOGUE[name].queries for name in (ONE, SEVEN, TWENTY_NINE, SIXTY_EIGHT)]
    assert counts == [1, 7, 29, 68]


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize(
    "steps",
    [
        [[ONE]],
        [[SEVEN]],
        [[TWENTY_NINE]],
        [[SIXTY_EIGHT]],
        [[MASK]],
        [[SEVEN], [ONE, SIXTY_EIGHT]],
        [[SIXTY_EIGHT], [MASK, TWENTY_NINE], [ONE]],
    ],
    ids=lambda steps: "+".join(str(sum(CATALOGUE[t].queries for t in added)) for added in steps),
)
def test_old_answers_come_from_the_same_calls_and_stay_the_same(
    name: str, steps: list[list[str]], explicit: bool
) -> None:
    model = base_of(name)
    torch.manual_seed(1)
    for added in steps:
        before, model = model, extended(model, added)
        with torch.no_grad():
            for parameter in last_extension(model):  # as far from their beginning as training takes them
                parameter.add_(torch.randn(parameter.shape))
        for network in (before, model):
            network.set_explicit_attention(explicit)
        for count in (1, 5):
            with torch.no_grad():
                old, new = before(pixels(count)).logits, model(pixels(count)).logits
            assert list(new) == [*old, *added]
            assert_same(old, new)
            missing = calls_of(before, pixels(count)) - calls_of(model, pixels(count))
            assert not missing, "the old answers' way has changed"
            for task in added:
                assert bool(new[task].isfinite().all())
                if count > 1:
                    assert (new[task][0] - new[task][1]).abs().max() > 0, f"{task} sees nothing"


def test_new_queries_attend_to_old_ones_and_not_the_other_way_round() -> None:
    model = extended(base_of("vit"), [SEVEN])
    with torch.no_grad():
        before = model(pixels(2)).logits
        model.decoder.queries[3] += torch.randn(64)  # all alike would not survive the normalisation
        after = model(pixels(2)).logits
        assert (after[SEVEN] - before[SEVEN]).abs().max() > 1e-6
        model.extensions[0].queries += torch.randn(7, 64)
        again = model(pixels(2)).logits
    assert_same({"expression": after["expression"]}, again)
    assert (again[SEVEN] - after[SEVEN]).abs().max() > 1e-6


@pytest.mark.parametrize("name", BASES)
def test_training_an_extension_changes_no_old_answer_nor_any_statistic(name: str) -> None:
    base = base_of(name)
    model = extended(base, [SEVEN, MASK])
    model.train()
    learning = list(last_extension(model))
    assert {id(p) for p in model.parameters() if p.requires_grad} == {id(p) for p in learning}
    optimizer = torch.optim.AdamW(learning, lr=0.1, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        torch.stack(
            [answer.float().square().mean() for answer in model(pixels(4)).logits.values()]
        ).sum().backward()
        assert all(p.grad is not None for p in learning)
        optimizer.step()
    model.eval()
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in base.state_dict().items())
    with torch.no_grad():
        old, new = base(pixels(3)).logits, model(pixels(3)).logits
    assert_same(old, new)


def test_an_extension_of_a_convolutional_network_gets_its_finer_stages_for_masks() -> None:
    model = extended(base_of("convolutional"), [MASK])
    assert model.config.mask_laterals == (0, 1)
    assert model(pixels(1)).logits[MASK].shape == (1, 19, 32, 32)


def test_the_queries_of_all_groups_are_in_the_pictures_of_attention() -> None:
    model = extended(base_of("vit"), [SEVEN])
    weights = model.cross_attention(pixels(2), block=1)
    assert weights.shape == (2, 4, 15 + 7, sum(stage.count for stage in model.fusion.layout))


def test_what_can_not_be_extended_is_told() -> None:
    base = base_of("vit")
    with pytest.raises(ValueError, match="answers gender already: name tasks that it never learned"):
        extended(base, ["race", "gender"])
    with pytest.raises(ValueError, match="unknown task mood"):
        extended(base, ["mood"])
    with pytest.raises(ValueError, match="names no task"):
        extended(base, [])
    pooled = build_model(dataclasses.replace(BASES["vit"], head="pooled"))
    with pytest.raises(ValueError, match="has no queries to add to"):
        extended(pooled, ["race"])
    with pytest.raises(ValueError, match="nothing to learn"):
        base.freeze()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base and an extension of it by numbers, points and a mask, in two steps."""
    folder = tmp_path_factory.mktemp("extended")
    base = random_checkpoint(BASES["convolutional"], seed=0)
    save_checkpoint(folder / "base.safetensors", base)
    assert isinstance(base.model, QFace)
    torch.manual_seed(1)
    model = extended(extended(base.model, [SEVEN]), [SIXTY_EIGHT, MASK])
    round_to_half(model)
    contract = make_contract(model.tasks, input_size=64)
    save_checkpoint(
        folder / "extended.safetensors", Checkpoint(model=model, contract=contract, card={"note": "random"})
    )
    return folder / "base.safetensors", folder / "extended.safetensors"


@pytest.fixture(scope="module")
def exported(checkpoints: tuple[Path, Path]) -> Path:
    file = checkpoints[1].with_suffix(".onnx")
    assert build.stages.export.main([str(checkpoints[1]), "--output", str(file)]) == 0
    return file


def test_an_extended_checkpoint_is_read_back_as_it_was(checkpoints: tuple[Path, Path]) -> None:
    base, new = (load_checkpoint(path).model for path in checkpoints)
    assert new.config.extensions == ((SEVEN,), (SIXTY_EIGHT, MASK))
    with torch.no_grad():
        old, answers = base(pixels(3)).logits, new(pixels(3)).logits
    assert_same(old, answers)


def test_old_answers_stay_inside_parity_in_engines(checkpoints: tuple[Path, Path], exported: Path) -> None:
    old, new = (load_checkpoint(path) for path in checkpoints)
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    openvino = OpenVinoEngine(exported, precision="fp32")
    for count in (1, 5, 32):
        crops = pictures(count, size=64, seed=9)
        with torch.no_grad():
            expected = {
                name: answer.numpy()
                for loaded in (new, old)  # the old network has the last word on what it answers
                for name, answer in ExportWrapper(loaded.model, loaded.contract)(
                    torch.from_numpy(crops)
                ).items()
            }
        in_onnx_runtime = dict(zip(names, session.run(names, {"pixels": crops}), strict=True))
        for answers in (in_onnx_runtime, openvino.infer({"pixels": crops})):
            contract = new.contract
            apart = differences(contract, expected, answers, in_units=False)
            allowed = tolerances(contract, precision="fp32")
            assert {name: value for name, value in apart.items() if not value <= allowed[name]} == {}


def test_an_extended_graph_can_be_served_and_computes_no_shapes(exported: Path) -> None:
    graph = read_graph(exported)
    assert graph.heads[SIXTY_EIGHT].dims == (68, 2)
    assert (graph.heads[MASK].datatype, graph.heads[MASK].dims) == ("UINT8", (64, 64))
    assert json.loads(graph.metadata["config"])["extensions"] == [[SEVEN], [SIXTY_EIGHT, MASK]]
    nodes = {node.op_type for node in onnx.load(exported).graph.node}
    assert nodes.isdisjoint({"Shape", "Expand", "GatherND", "ScatterND", "Einsum"})
