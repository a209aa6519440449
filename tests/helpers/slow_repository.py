"""Models that do something at a crop's command, for tests of what a gateway does meanwhile.

The first byte of a crop says what: TAKES_LONG sleeps, DIES kills the model's own process; others are answered
at once. The second byte is how many tenths of a second.
"""

from pathlib import Path

from tritonclient.grpc import service_pb2 as v2

from tests.helpers import tiny_repository

TAKES_LONG, DIES = 251, 252

_OBEYING = tiny_repository.ECHO.replace(
    "        return [",
    f"""        import os, signal, time
        for request in requests:
            first, second = pb_utils.get_input_tensor_by_name(request, "crop").as_numpy().flat[:2]
            if first == {TAKES_LONG}:
                time.sleep(int(second) / 10)
            if first == {DIES}:
                os.kill(os.getpid(), signal.SIGKILL)
        return [""",
    1,
)


def write(folder: Path, *, name: str = "echo", instances: int = 1, further: str | None = None) -> Path:
    """A repository of the model in so many instances, and of another one that only echoes (`further`)."""
    models = {name: _OBEYING} | ({further: tiny_repository.ECHO} if further else {})
    tiny_repository.write(folder, **models)
    config = folder / "models" / name / "config.pbtxt"
    config.write_text(
        config.read_text()
        .replace("count: 1", f"count: {instances}")
        .replace("max_batch_size: 4", "max_batch_size: 1")
    )
    return tiny_repository.seal(folder)


def crop(*first: int, model: str = "echo") -> v2.ModelInferRequest:
    """A request whose crop begins with these bytes."""
    return v2.ModelInferRequest(
        model_name=model,
        inputs=[v2.ModelInferRequest.InferInputTensor(name="crop", datatype="UINT8", shape=[1, 4, 4, 3])],
        raw_input_contents=[bytes(first).ljust(48, b"\7")],
    )
