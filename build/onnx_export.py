"""A checkpoint's network as an ONNX file that answers as torch does.

The graph takes UINT8 pixels and gives physical values, one output a task. Its metadata carries the
contract, so everything behind it needs no training code. The weights lie in it as fp16 behind Cast
nodes, which loses nothing because checkpoints are rounded to fp16 (those of a checkpoint in fp32 stay fp32).
FILE.json beside it is the report.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx_ir
import onnxruntime
import onnxscript.optimizer
import onnxscript.rewriter
import torch
from numpy.typing import NDArray
from onnx_ir.passes import common
from onnxscript.rewriter.rules import common as rules

from build.acceptance.comparison_pictures import pictures
from build.acceptance.parity import differences, tolerances, worst_beyond_tolerance
from build.errors import BuildError
from build.manifest import report_path
from build.onnx_interface import FIRST_FAMILY, PIXELS, read_graph
from build.serving.batching_and_queues import COMPARED_BATCHES, MAX_BATCH
from build.stages.artifacts import OnnxReport
from runtime.contract import Contract
from runtime.heads import heads_of
from training.models import Checkpoint, ExportWrapper, load_checkpoint
from training.plain_data import plain

OPSET = 20
# Smaller tensors stay as they are: a Cast node costs as much as they save.
_SMALL = 256
# Numbers in the largest constant that is folded, more than any weight has.
_LARGEST = 1 << 30


class _OnSlices:
    """`slice_split_rule`, tried on slices only: it looks through the whole graph wherever it is tried."""

    def __getattr__(self, name: str) -> Any:
        return getattr(rules.slice_split_rule, name)

    def try_rewrite(self, model: Any, graph: Any, node: Any, **options: Any) -> Any:
        if node.op_type != "Slice":
            return None
        return rules.slice_split_rule.try_rewrite(model, graph, node, **options)


_RULES: tuple[Any, ...] = (
    rules.add_0_rule,
    rules.cast_cast_rule,
    rules.collapse_slice_rule,
    rules.materialize_reshape_shape_rule,
    rules.no_op_cast_rule,
    rules.no_op_expand_rule,
    rules.no_op_transpose_rule,
    rules.reshape_reshape_rule,
    _OnSlices(),
    rules.squeeze_reshape_1d_rule,
    rules.unsqueeze_unsqueeze_rule,
)


def export(checkpoint: Path, *, output: Path) -> OnnxReport:
    """Writes the ONNX file and the report beside it; returns the report.

    Raises BuildError when the checkpoint can't be read, its weights are not fp16 numbers, or ONNX
    Runtime's answers differ from torch's by more than the tolerances of their kinds (`runtime.kinds`).
    """
    loaded = read_checkpoint(checkpoint)
    loaded.model.set_explicit_attention()
    wrapper = ExportWrapper(loaded.model, loaded.contract)
    contract = loaded.contract
    model = _to_onnx(wrapper, size=contract.input_size, outputs=list(heads_of(contract)))
    rounded = dict(loaded.model.named_parameters()) if loaded.weights == "fp16" else {}
    _halve(model, lossless=rounded.keys())
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    onnx.helper.set_model_props(model, _metadata(loaded, sha256))
    onnx.checker.check_model(model, full_check=True)
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(model.SerializeToString())
        graph = read_graph(unfinished)
        parity = _parity(wrapper, unfinished, contract=contract)
        allowed = tolerances(contract, precision="fp32")
        report: OnnxReport = {
            "checkpoint_sha256": sha256,
            "onnx_sha256": graph.sha256,
            "bytes": unfinished.stat().st_size,
            "opset": OPSET,
            "nodes": len(model.graph.node),
            "versions": {
                "torch": torch.__version__,
                "onnx": onnx.__version__,
                "onnxruntime": onnxruntime.__version__,
            },
            "tolerances": allowed,
            "parity": parity,
        }
        if worst := worst_beyond_tolerance(parity, allowed):
            raise BuildError(
                f"ONNX Runtime differs from torch by {worst[1]:.2g} in {worst[0]}, more than "
                f"{allowed[worst[0]]:g}: nothing was written; "
                "look for an operator that the exporter translates differently"
            )
        unfinished.replace(output)
        report_path(output).write_text(json.dumps(report, indent=1) + "\n")
    except OSError as error:
        raise BuildError(
            f"{output} can't be written ({error.strerror}): name a writable place with --output"
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return report


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint; BuildError where it can't be read."""
    try:
        return load_checkpoint(path)
    except ValueError as error:
        raise BuildError(str(error)) from None


def _to_onnx(wrapper: ExportWrapper, *, size: int, outputs: list[str]) -> onnx.ModelProto:
    # A batch of one would let the exporter take the batch for a constant.
    example = torch.from_numpy(pictures(2, size=size))
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter's own use of what torch is about to change is not for the user to mend.
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*LeafSpec.*")
        program = torch.onnx.export(
            wrapper,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[PIXELS],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=MAX_BATCH)},),
            verbose=False,
            optimize=False,
        )
    assert program is not None
    _simplify(program.model)
    proto: onnx.ModelProto = program.model_proto
    _strip(proto)
    return proto


def _simplify(model: Any) -> None:
    """Folds constants and removes what does nothing, as the exporter's `optimize=True` would.

    That one also fuses batch normalisation into convolutions, whose weights are then no fp16 numbers
    any more. Engines fuse by themselves. Two transpositions in a row stay two: OpenVINO's attention takes
    the second one in, and the first alone moves memory faster than both in one.
    """
    common.InlinePass()(model)
    for _ in range(3):  # the queries' way to the first face leads through two layer normalisations
        onnxscript.optimizer.fold_constants_ir(model, should_fold=_fold, output_size_limit=_LARGEST)
        _fold_layer_norms(model)
        onnxscript.rewriter.rewrite(model, _RULES)
        common.ShapeInferencePass()(model)  # the exporter knows no shapes inside an operator of several nodes
    for tidy in (
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    ):
        tidy(model)


def _fold(node: Any) -> bool:
    """Constants are folded whatever their size: all that queries go through before they meet a face."""
    return bool(node.op_type != "LayerNormalization")


def _fold_layer_norms(model: Any) -> None:
    """Those of constants, which the folder above skips: it gets more outputs than the node has."""
    for node in list(model.graph):
        inputs = [value.const_value for value in node.inputs if value is not None]
        if node.op_type != "LayerNormalization" or None in inputs or len(node.outputs) != 1:
            continue
        x, weight, bias = (torch.from_numpy(np.array(tensor.numpy())) for tensor in inputs)
        normed = torch.nn.functional.layer_norm(
            x, weight.shape, weight, bias, node.attributes["epsilon"].as_float()
        )
        output = node.outputs[0]
        constant = onnx_ir.Value(
            name=f"{output.name}_folded",
            const_value=onnx_ir.tensor(normed.numpy()),
            shape=output.shape,
            type=output.type,
        )
        model.graph.register_initializer(constant)
        output.replace_all_uses_with(constant)
        model.graph.remove(node, safe=True)


def _strip(model: onnx.ModelProto) -> None:
    """Takes out what the exporter notes of the machine: source lines, stack traces, Python names."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]:
        del value.metadata_props[:]
        value.doc_string = ""
    del model.graph.metadata_props[:]
    model.graph.doc_string = model.doc_string = ""


def _halve(model: onnx.ModelProto, *, lossless: Any) -> None:
    """Stores fp32 initializers as fp16 behind a Cast, where that changes no number.

    `lossless` are the parameters' names: one that fp16 can't hold is an error, because the checkpoint
    must have been rounded before it was evaluated.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        exact = bool(np.array_equal(half.astype(np.float32), values))
        name = tensor.name
        if not exact and name.removeprefix("model.") in lossless:
            raise BuildError(
                f"the weight {name} is not rounded to fp16: save the checkpoint with training.models"
            )
        if exact and values.size >= _SMALL:
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}_fp16"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}_fp16"], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)


def _metadata(loaded: Checkpoint, sha256: str) -> dict[str, str]:
    family = loaded.model.config.family
    return {
        **({} if family == FIRST_FAMILY else {"family": family}),
        "contract": json.dumps(loaded.contract.to_json()),
        "config": json.dumps(plain(loaded.model.config)),
        "card": json.dumps(loaded.card),
        "checkpoint_sha256": sha256,
    }


def _parity(wrapper: ExportWrapper, path: Path, *, contract: Contract) -> dict[str, dict[str, float]]:
    """The largest difference of each output, torch against ONNX Runtime, by batch size."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = {}
    for batch in COMPARED_BATCHES:
        pixels = pictures(batch, size=contract.input_size)
        with torch.no_grad():
            expected = {name: tensor.numpy() for name, tensor in wrapper(torch.from_numpy(pixels)).items()}
        answered: Mapping[str, NDArray[Any]] = dict(
            zip(names, session.run(names, {PIXELS: pixels}), strict=True)
        )
        found[str(batch)] = differences(contract, expected, answered, in_units=False)
    return found
