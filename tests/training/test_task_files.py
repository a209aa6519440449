"""Tasks of one's own: read from a file, and known from then on to whoever reads what was made with them."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from build.onnx_interface import PIXELS
from build.serving import tensors
from build.serving.pbtxt import Tensor
from training.data.__main__ import main as data_command
from training.data.own import columns
from training.data.prepared.face_set import FaceSet, adopt_tasks_of
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.models import CONFIGS, load_checkpoint, save_checkpoint
from training.task_files import RESERVED, adopt, adopt_file, read_tasks
from training.tasks import BUILT_IN, CATALOGUE
from training.train import extend
from training.train.random_initialisation import random_checkpoint

SIZE = CONFIGS["qface_test"].input_size
GLASSES = """
[glasses]
kind = "classes"
labels = ["none", "glasses", "sunglasses"]

[helmet]
kind = "multilabel"
labels = ["worn", "strapped"]
metric = "mean_auc"
sensitive = true
"""


pytestmark = pytest.mark.usefixtures("catalogue_restored")


def _file(folder: Path, text: str) -> Path:
    path = folder / "tasks.toml"
    path.write_text(text)
    return path


def test_what_a_kind_usually_has_may_be_left_out(tmp_path: Path) -> None:
    glasses, helmet = adopt_file(_file(tmp_path, GLASSES))
    assert (glasses.name, glasses.kind, glasses.labels) == (
        "glasses",
        "classes",
        ("none", "glasses", "sunglasses"),
    )
    assert (glasses.unit, glasses.queries, glasses.loss) == ("probability", 3, "cross_entropy")
    assert (helmet.metric, helmet.sensitive, helmet.queries) == ("mean_auc", True, 2)
    assert CATALOGUE["glasses"] is glasses


def test_the_catalogue_s_own_tasks_could_be_written_so(tmp_path: Path) -> None:
    for name in BUILT_IN:
        task = CATALOGUE[name]
        fields = task.to_json()
        plain = {key: fields[key] for key in ("kind", "unit", "loss", "metric")}
        words = [f"{key} = {value!r}" for key, value in plain.items()]
        (read,) = read_tasks(
            _file(tmp_path, f"[{name}]\nlabels = {list(task.labels)!r}\n" + "\n".join(words))
        )
        assert read.queries == task.queries, name


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no task"),
        ("glasses = 3", "[glasses]: it is 3 and no table"),
        ("[glasses", "is no TOML"),
        ("[Glasses]\nkind='classes'\nlabels=['a','b']", "small letters"),
        ("[glasses]\nlabels=['a','b']", "kind is None: choose from classes, mask"),
        ("[glasses]\nkind='classes'", "labels is no list of names"),
        ("[glasses]\nkind='classes'\nlabels=['a']", "labels are 1: a task of the kind classes has 2 or more"),
        ("[glasses]\nkind='classes'\nlabels=['a','a']", "names a label twice"),
        ("[glasses]\nkind='classes'\nlabels=['a',' ']", "a label is ' '"),
        ("[glasses]\nkind='classes'\nlabels=['a','b']\nlables=[]", "'lables' (did you mean labels?)"),
        ("[glasses]\nkind='classes'\nlabels=['a','b']\nqueries=3", "queries is 3: leave it out, it is 2"),
        ("[glasses]\nkind='classes'\nlabels=['a','b']\nloss='wing'", "loss is 'wing': choose from cross"),
        ("[glasses]\nkind='classes'\nlabels=['a','b']\nmetric='f2'", "metric is 'f2': choose from top1"),
        ("[glasses]\nkind='classes'\nlabels=['a','b']\nmirror=[['a','c']]", "does not have: ['c']"),
        (
            "[glasses]\nkind='classes'\nlabels=['a','b']\nmirror=3",
            "mirror is 3: write a list of pairs",
        ),
        ("[glasses]\nkind=['classes']\nlabels=['a','b']", "kind is ['classes']: choose from"),
        ("[split]\nkind='classes'\nlabels=['a','b']", "give the task another name"),
        ("[age_error]\nkind='classes'\nlabels=['a','b']", "give the task another name"),
        ("[w]\nkind='value'\nlabels=['a']\nunit='a'\nmirror=[['a','a']]", "of the kind value has no sides"),
        ("[weight]\nkind='value'\nlabels=['kg']", 'has a unit: write unit = "..."'),
        ("[weight]\nkind='value'\nlabels=['kg','lb']\nunit='kg'", "of the kind value has 1"),
        ("[gender]\nkind='classes'\nlabels=['male','female','other']", "another task of this name"),
    ],
)
def test_a_file_s_fault_is_named(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as raised:
        adopt_file(_file(tmp_path, text))
    assert str(tmp_path) in str(raised.value)
    assert CATALOGUE.keys() == BUILT_IN


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ("sensitive = 'no'", "sensitive is 'no': write true or false"),
        ("exact_pixels = 'false'", "exact_pixels is 'false': write true or false"),
        ("center = '70'", "center is '70': write a number"),
        ("center = nan", "center is nan: write a number"),
        ("center = true", "center is True: write a number"),
        ("spread = inf", "spread is inf: give a finite number above 0"),
        ("label_noise = nan", "label_noise is nan: write a number"),
        ("limits = [1]", "limits is [1]: write a pair of numbers"),
        ("limits = ['a', 'b']", "write a pair of numbers"),
        ("limits = [9, 1]", "limits are [9, 1]: give the lower"),
        ("levels = [0.5, 10, 3.5]", "a whole one from 2 to"),
        ("levels = [0, 10, 1e12]", "a whole one from 2 to"),
        ("levels = [0, inf, 3]", "a whole one from 2 to"),
        ("mirror = [['l']]", "write a list of pairs of texts"),
        ("mirror = ['l', 'r']", "mirror is ['l', 'r']: write a list of pairs of texts"),
        ("mirror = [['l', 'r'], ['r', 'c']]", "mirror names 'r' twice"),
        ("unit = 5", "unit is 5: write a text"),
        ("unit = ' '", "unit is empty"),
        ("more_metrics = 'mean_f1'", "write a list of texts"),
        ("more_metrics = ['nosuch']", "more_metrics has 'nosuch': choose from mean_accuracy"),
        ("frontal_by = 'nosuch'", "frontal_by names the task 'nosuch', which neither"),
        ("frontal_by = 'age'", "frontal_by is age, whose kind is value: name a task of the head's rotation"),
        ("derived_from = ['nosuch', '']", "derived_from names the task 'nosuch', which neither"),
        ("derived_from = ['attributes', 'Male']", "its labels don't follow from these"),
        ("error_reference = ['l']", "error_reference is ['l']: write a pair of texts"),
        ("error_reference = ['l', 'l']", "error_reference names 'l' twice"),
        ("aligned_labels = {l = 'a'}", "write a table of whole numbers"),
        (
            "aligned_labels = {l = 999, r = 0, c = -1}\naligned_to = 'landmarks'",
            "aligned_labels has {'l': 999, 'c': -1}: landmarks has points 0 to 67",
        ),
        (
            "aligned_labels = {l = 0, r = 1, c = 2}\naligned_to = 'age'",
            "aligned_to is age, whose kind is value: name a task of points",
        ),
    ],
)
def test_a_field_s_value_is_of_its_type_and_means_something(
    field: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as raised:
        read_tasks(_file(tmp_path, f"[look]\nkind = 'multilabel'\nlabels = ['l', 'r', 'c']\n{field}"))
    assert len(str(raised.value).splitlines()) == 2, "one fault is told once"


def test_a_file_s_tasks_may_name_each_other_and_the_catalogue_s(tmp_path: Path) -> None:
    text = """
[seen]
kind = "multilabel"
labels = ["a", "b"]
aligned_labels = {b = 1, a = 0}
aligned_to = "corners"
frontal_by = "head_pose"

[corners]
kind = "points"
labels = ["a", "b"]
unit = "pixels"

[weight]
kind = "value"
labels = ["kg"]
unit = "kg"
limits = [0, inf]
levels = [0, 10, 11]

[weight_group]
kind = "classes"
labels = ["0-4", "5+"]
derived_from = ["weight", ""]

[man]
kind = "classes"
labels = ["yes", "no"]
derived_from = ["attributes", "Male"]
"""
    path = tmp_path / "tasks.toml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())  # as some editors of Windows begin a file
    assert [task.name for task in read_tasks(path)] == ["seen", "corners", "weight", "weight_group", "man"]


def test_the_names_of_columns_and_tensors_are_no_tasks() -> None:
    used = {*columns._PLAIN, PIXELS, *(t.name for t in vars(tensors).values() if isinstance(t, Tensor))}
    for several in vars(tensors).values():
        if isinstance(several, tuple):
            used |= {tensor.name for tensor in several if isinstance(tensor, Tensor)}
    assert used - BUILT_IN <= RESERVED


def test_all_faults_are_named_at_once_and_nothing_is_added(tmp_path: Path) -> None:
    text = (
        GLASSES + "[hat]\nkind='classes'\nlabels=['a']\nlos='x'\ncenter=nan\nspread=0\n"
        "[beard]\nkind='clases'\nlabels=[1]"
    )
    with pytest.raises(ValueError, match="can't be used") as raised:
        adopt_file(_file(tmp_path, text))
    lines = str(raised.value).splitlines()[1:]
    assert [line.split("]")[0].strip(" [") for line in lines] == ["hat"] * 4 + ["beard"] * 2
    assert "glasses" not in CATALOGUE


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read_tasks(tmp_path / "no.toml")
    (tmp_path / "picture.toml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ValueError, match="can't be read"):
        read_tasks(tmp_path / "picture.toml")


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    (task, _) = adopt_file(_file(tmp_path, GLASSES))
    other = dataclasses.replace(task, labels=tuple(reversed(task.labels)))
    with pytest.raises(ValueError, match=r"old\.safetensors has a task 'glasses' with other labels"):
        adopt(other, origin="old.safetensors")
    adopt(dataclasses.replace(task, metric="macro_f1"), origin="the file", replace=True)
    assert CATALOGUE["glasses"].metric == "macro_f1"


def _faces(split: str, count: int) -> list[Face]:
    """Dark, grey and bright faces: no glasses, glasses, sunglasses."""
    side = SIZE + 2 * margin_of(SIZE)
    made = []
    for i in range(count):
        noise = np.random.default_rng(i).normal(0, 12, (side, side, 3))
        pixels = np.clip((30, 128, 225)[i % 3] + noise, 0, 255).astype(np.uint8)
        labels = {"glasses": ("none", "glasses", "sunglasses")[i % 3]}
        made.append(Face(key=f"{split}{i}", pixels=pixels, split=split, labels=labels))
    return made


def test_a_task_travels_in_the_set_and_in_the_checkpoint(tmp_path: Path) -> None:
    adopt_file(_file(tmp_path, GLASSES))
    write_set(tmp_path / "data" / "shop", [*_faces("train", 60), *_faces("test", 12)], size=SIZE)
    base = tmp_path / "base.safetensors"
    config = CONFIGS["qface_test"].with_tasks(["expression"])
    save_checkpoint(base, random_checkpoint(config, seed=3))

    del CATALOGUE["glasses"]  # as in another process
    words = ["steps=60", "warmup_steps=5", "learning_rate=3e-3", "ema_decay=0.9", "workers=0", "bf16=false"]
    settings = [word for setting in words for word in ("--set", setting)]
    options = ["--data", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--threads", "1"]
    assert extend.main([str(base), "--task", "glasses", *options, *settings]) == 0

    del CATALOGUE["glasses"]
    learned = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert CATALOGUE["glasses"].labels == ("none", "glasses", "sunglasses")
    assert learned.contract.entry("glasses").labels == CATALOGUE["glasses"].labels
    faces = FaceSet(tmp_path / "data" / "shop", split="test")
    with torch.no_grad():
        logits = learned.model(torch.from_numpy(faces.served_crops(range(len(faces)), size=SIZE))).logits
    right = logits["glasses"].argmax(1).numpy() == faces.columns["glasses"].argmax(1)
    assert right.mean() > 0.9


def test_sets_that_define_a_task_differently_are_refused_where_both_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adopt_file(_file(tmp_path, GLASSES))
    write_set(tmp_path / "data" / "shop", _faces("train", 6), size=SIZE)
    del CATALOGUE["glasses"], CATALOGUE["helmet"]
    adopt_file(_file(tmp_path, GLASSES.replace('"sunglasses"', '"goggles"')))
    with pytest.raises(ValueError, match=r"shop has a task 'glasses' with other labels .*/tasks\.toml has"):
        adopt_tasks_of(tmp_path / "data")
    for copy in ("shop2", "zoo"):
        shutil.copytree(tmp_path / "data" / "shop", tmp_path / "data" / copy)
    other = json.loads((tmp_path / "data" / "shop" / "manifest.json").read_text().replace("sungl", "g"))
    (tmp_path / "data" / "shop2" / "manifest.json").write_text(json.dumps(other))
    del CATALOGUE["glasses"], CATALOGUE["helmet"]
    with pytest.raises(ValueError, match=r"shop2 has a task 'glasses' with other labels .*data/shop has"):
        adopt_tasks_of(tmp_path / "data")
    del CATALOGUE["glasses"]
    adopt_tasks_of(tmp_path / "data", names=["shop2"])
    assert CATALOGUE["glasses"].labels[2] == "gasses"
    del CATALOGUE["glasses"]
    assert data_command(["check", str(tmp_path / "data")]) == 2
    output = capsys.readouterr()
    assert [line.split(": whole")[0][-4:] for line in output.out.splitlines()] == ["shop", "/zoo"]
    assert "shop2 has a task 'glasses'" in output.err
    assert len(output.err.splitlines()) == 1
