"""The Job that trains in a cluster is what Kubernetes takes, and its words fit the pods and the commands."""

import functools
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.charts import KUBERNETES, problems
from tests.helpers.hosts import Hosts
from tests.helpers.paths import ROOT

FILE = ROOT / "training" / "kubernetes" / "finetune.yaml"


@functools.cache
def _objects() -> Mapping[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(FILE.read_text())}


def _pod() -> Mapping[str, Any]:
    spec: Mapping[str, Any] = _objects()["Job"]["spec"]["template"]["spec"]
    return spec


def _words() -> list[str]:
    (container,) = _pod()["containers"]
    (script,) = container["args"]
    return shlex.split(script)


def _value(option: str) -> str:
    words = _words()
    return words[words.index(option) + 1]


def test_kubernetes_takes_it() -> None:
    assert problems(list(_objects().values()), versions=KUBERNETES) == []


def test_the_pods_find_the_first_of_them_by_the_services_name() -> None:
    service, job = _objects()["Service"], _objects()["Job"]
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert _pod()["subdomain"] == name
    assert _value("--rdzv-endpoint") == f"{job['metadata']['name']}-0.{name}:{port}"


def test_as_many_pods_train_as_the_job_has() -> None:
    spec = _objects()["Job"]["spec"]
    assert spec["completions"] == spec["parallelism"] == int(_value("--nnodes").partition(":")[2])


def test_its_folders_are_volumes_and_all_that_is_written_lies_in_one() -> None:
    (container,) = _pod()["containers"]
    mounted = {each["mountPath"]: each.get("readOnly", False) for each in container["volumeMounts"]}
    assert mounted[_value("--data")] is True
    assert not mounted["/" + _value("--output").split("/")[1]]
    assert {each["name"] for each in container["volumeMounts"]} == {
        each["name"] for each in _pod()["volumes"]
    }
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_it_trains_by_the_guides_command_and_the_projects_version() -> None:
    guide = (ROOT / "training" / "README.md").read_text()
    assert "training/kubernetes/finetune.yaml" in guide
    (variable,) = re.findall(r"export (\w+=\S+)", guide)
    (container,) = _pod()["containers"]
    assert variable in [f"{each['name']}={each.get('value')}" for each in container["env"]]
    words = _words()
    assert words[words.index("-m", words.index("torch.distributed.run") + 1) + 1] == "training.train.finetune"
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert container["image"] == f"q-face-train:{version[1]}"


@pytest.mark.heavy
def test_two_pods_find_each_other_by_its_command(tmp_path: Path) -> None:
    (container,) = _pod()["containers"]
    (script,) = container["args"]
    before, _, _ = script.partition("-m training.train.finetune")
    for word, here in ((".venv/bin/python", sys.executable), ("-node gpu", "-node 1"), ("1:2", "2:2")):
        assert word in before
        before = before.replace(word, here)
    place = "echo process $RANK of $WORLD_SIZE, by way of $MASTER_ADDR"
    addresses = {f"q-face-train-{index}.q-face-train": f"10.77.0.{index + 1}" for index in range(2)}
    with Hosts(addresses, folder=tmp_path) as hosts:
        pods = [
            hosts.start(
                name,
                [*container["command"], f"{before} --no-python /bin/sh -c '{place}'"],
                environment={"JOB_COMPLETION_INDEX": str(index), "POD_IP": address},
            )
            for index, (name, address) in enumerate(addresses.items())
        ]
        for index, pod in enumerate(pods):
            assert pod.process.wait(timeout=300) == 0, pod.said()
            assert f"process {index} of 2, by way of 10.77.0.1\n" in pod.said()
