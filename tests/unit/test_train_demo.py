"""The guide's first page types what `make train-demo` does, and the small head is one."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.paths import ROOT
from training.render.head import reduce
from training.render.head.head_file import load_head

HEAD = ROOT / "training" / "render" / "small_head" / "head.npz"


def test_the_guide_has_the_steps_of_the_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^train-demo:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    words = {"$(FULL)": "python", "$(SERVE)": ".venv-serve/bin/python", "$(TRY)": "var/train-demo"}
    steps = [line.strip() for line in recipe.splitlines() if not line.strip().startswith("@")]
    for variable, value in words.items():
        steps = [step.replace(variable, value) for step in steps]
    assert "\n".join(["```", *steps, "```"]) in (ROOT / "training" / "README.md").read_text()


def test_the_small_head_takes_every_expression() -> None:
    head = load_head(HEAD)
    neutral = head.shape(identity=np.zeros(0, np.float32), expression={})
    for name in head.names:
        moved = head.shape(identity=np.zeros(0, np.float32), expression={name: 1.0})
        assert np.abs(moved - neutral).max() > 0.01, name  # a tenth of a millimetre
    assert len(head.identity) == 8


def test_a_head_is_reduced_once_more_to_fewer_identities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "smaller.npz"
    assert reduce.main([str(HEAD), "--identities", "2", "--output", str(output)]) == 0
    head, smaller = load_head(HEAD), load_head(output)
    assert len(smaller.identity) == 2
    step = np.abs(head.expression).max(axis=(1, 2)) / 63
    assert (np.abs(smaller.expression - head.expression).max(axis=(1, 2)) <= step).all()
    assert reduce.main([str(tmp_path), "--output", str(output)]) == 2
    assert "give the head's .npz file" in capsys.readouterr().err
    (tmp_path / "no.npz").write_bytes(b"nothing")
    assert reduce.main([str(tmp_path / "no.npz"), "--output", str(output)]) == 2
    assert "is not a head file" in capsys.readouterr().err
