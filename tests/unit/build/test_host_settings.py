"""The settings of a host: their defaults, their file, and what they make of a repository."""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest

from build.errors import BuildError
from build.serving.batching_and_queues import MAX_BATCH
from build.serving.host_settings import FirstStepSettings, HostSettings, NetworkSettings, read_settings
from build.serving.pbtxt import parse, to_text
from build.serving.steps import face_preprocess
from build.serving_plan import ServingPlan
from build.stages import repository
from build.stages.repository import assemble
from runtime.contract import Contract
from tests.helpers.networks import standin_network as standin
from tests.helpers.repositories import manifest_of

CHOSEN = """
cores = 4
max_batch = 16
[engine]
instances = 2
threads = 3
streams = 3
queue_delay_us = 0
[face_preprocess]
instances = 5
max_queued = 7
[face_postprocess]
instances = 3
queue_delay_us = 20
"""


def read(text: str, *, device: Any = "cpu", cores: int = 2) -> HostSettings:
    return HostSettings.from_toml(text, where="var/x.toml", device=device, cores=cores)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("cores", [1, 2, 7, 64])
def test_the_file_of_any_settings_reads_as_they_are(device: Any, cores: int) -> None:
    defaults = HostSettings.for_host(device, cores)
    assert read(defaults.to_toml(), device=device, cores=1) == defaults


def test_a_file_describes_every_key_and_why_it_has_its_value() -> None:
    text = HostSettings.for_host("cpu", 2).to_toml({"engine.threads": "the cheapest of four"})
    assert "# the cheapest of four\nthreads = " in text
    for line in text.splitlines():
        assert not line or "#" in line, "a key without a description"
    assert tomllib.loads(text)["engine"]["threads"] >= 1


def test_what_a_file_leaves_out_follows_from_the_cores() -> None:
    settings = read(CHOSEN)
    defaults = HostSettings.for_host("cpu", 4)
    assert settings.engine == NetworkSettings(instances=2, threads=3, streams=3, queue_delay_us=0)
    assert settings.face_preprocess == dataclasses.replace(
        defaults.face_preprocess, instances=5, max_queued=7
    )
    assert settings.photo_analysis == defaults.photo_analysis
    assert read("", cores=3) == HostSettings.for_host("cpu", 3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[engine", "var/x.toml are not TOML .*: correct that line"),
        ("treads = 1", "there is no key 'treads': choose from device, cores, max_batch, engine"),
        ("[engine]\ntreads = 1", r"\[engine\] has no key 'treads': choose from instances, queue_delay_us"),
        ("[face_postprocess]\nmax_queued = 9", r"\[face_postprocess\] has no key 'max_queued'"),
        ("[engine]\nthreads = true", "engine.threads = True is not a whole number"),
        ("[engine]\nthreads = 1.5", "engine.threads = 1.5 is not a whole number"),
        ("[engine]\nthreads = -1", r"in \[engine\] threads = -1 can't be: choose a whole number from 0 to"),
        ("[engine]\nthreads = 2\nstreams = 3", "streams = 3 is more than threads = 2: give each stream"),
        (
            "[face_preprocess]\nmost_together = 2",
            r"in \[face_preprocess\] most_together = 2 holds only .* set queue_delay_us = 0, or",
        ),
        ("[face_preprocess]\ninstances = 0", r"in \[face_preprocess\] instances = 0 can't be"),
        ("engine = 3", r"engine is a table: write its keys below \[engine\]"),
        ("cores = 0", "cores = 0 can't be"),
        ("cores = 'two'", "cores = 'two' can't be"),
        (f"max_batch = {MAX_BATCH + 1}", f"choose a whole number from 1 to {MAX_BATCH}"),
        ("device = 'gpu'", "are for device = 'gpu', and the network runs on the cpu: name a file for it"),
    ],
)
def test_a_file_that_can_t_be_served_is_refused_with_its_name_and_key(text: str, sentence: str) -> None:
    with pytest.raises(BuildError, match=sentence) as refused:
        read(text)
    assert "var/x.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"gone\.toml can't be read .*`--settings default`"):
        read_settings(tmp_path / "gone.toml", device="cpu", cores=2)


def test_threads_of_a_command_line_are_one_instance_with_as_many_a_stream() -> None:
    one_thread_streams = NetworkSettings(instances=2, threads=4, streams=4)
    assert one_thread_streams.with_threads(3) == NetworkSettings(instances=1, threads=3, streams=3)
    whole = NetworkSettings(threads=4, streams=1)
    assert whole.with_threads(2) == NetworkSettings(threads=2, streams=1)
    assert NetworkSettings(threads=0).with_threads(2) == NetworkSettings(threads=2)
    assert whole.with_threads(0) == whole


def test_a_repository_is_assembled_with_a_file_s_settings(tmp_path: Path) -> None:
    weights = standin.write(tmp_path / "x.onnx", standin.contract_of("age"))
    (tmp_path / "settings.toml").write_text(CHOSEN)
    plan = ServingPlan(weights=weights, host_settings=tmp_path / "settings.toml")
    assembled = assemble(plan, output=tmp_path / "var")

    def config(name: str) -> Any:
        return parse((assembled / "models" / name).read_text())

    engine = config("face_engine/configs/cpu.pbtxt")
    assert engine.instance_group[0].count == 2
    assert [engine.parameters[key].string_value for key in ("threads", "streams")] == ["3", "3"]
    assert engine.dynamic_batching.max_queue_delay_microseconds == 0
    first = config("face_preprocess/config.pbtxt")
    assert first.instance_group[0].count == 5
    assert first.dynamic_batching.default_queue_policy.max_queue_size == 7
    last = config("face_postprocess/config.pbtxt")
    assert last.instance_group[0].count == 3
    assert last.dynamic_batching.max_queue_delay_microseconds == 20
    for name in ("face_analysis", "face_preprocess", "face_engine", "face_postprocess", "age_postprocess"):
        assert config(f"{name}/config.pbtxt").max_batch_size == 16
    assert manifest_of(assembled)["stages"]["host"] == read(CHOSEN).to_json()


def test_a_file_of_settings_is_kept_until_the_default_is_named(tmp_path: Path) -> None:
    weights = standin.write(tmp_path / "x.onnx", standin.contract_of("age"))
    (tmp_path / "settings.toml").write_text(CHOSEN)
    output = tmp_path / "var"

    def served(*options: str) -> int:
        assert repository.main([*options, "--output", str(output)]) == 0
        host = manifest_of(output / "repository")["stages"]["host"]
        return int(host["face_preprocess"]["instances"])

    assert served("--weights", str(weights), "--settings", str(tmp_path / "settings.toml")) == 5
    assert served() == 5
    (tmp_path / "settings.toml").write_text("[face_preprocess]\ninstances = 6")
    assert served() == 6, "the file, and not what it was"
    assert served("--settings", "default") != 6
    (tmp_path / "settings.toml").unlink()
    assert served() != 6


def test_beside_gpus_the_python_steps_share_the_cores_up_to_a_bound() -> None:
    small, large, huge = (HostSettings.for_host("gpu", cores) for cores in (4, 64, 1024))
    for step in ("face_preprocess", "crop_preprocess", "face_postprocess", "photo_analysis", "face_detect"):
        few, many, most = (getattr(host, step).instances for host in (small, large, huge))
        assert 1 <= few <= 8 < many <= 64, step
        assert most == 64, "each is a process of its own"
    # What decodes gets most of the cores: the rest of its answer costs less.
    assert large.face_preprocess.instances > 2 * large.face_postprocess.instances
    assert large.engine.instances == small.engine.instances == 2, "on each GPU, whatever the cores"


def test_a_first_step_beside_gpus_takes_few_faces_at_once() -> None:
    host = HostSettings.for_host("gpu", 16)
    contract = Contract.parse(standin.contract_of("age"))
    config = parse(to_text(face_preprocess(contract, host)))
    assert list(config.dynamic_batching.preferred_batch_size) == [1, 2, 3, 4]
    assert config.dynamic_batching.max_queue_delay_microseconds == 0
    assert config.max_batch_size == MAX_BATCH, "a request may have more rows"
    unbounded = dataclasses.replace(host, face_preprocess=FirstStepSettings())
    config = parse(to_text(face_preprocess(contract, unbounded)))
    assert not config.dynamic_batching.preferred_batch_size
