"""`keys add`, `list`, `remove`: the key is shown once, the file holds its hash, and stays whole."""

import stat
from pathlib import Path

import pytest

from deploy.gateway.identity.keys import KeyFile, read_keys
from deploy.gateway.identity.keys_command import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def add(path: Path, name: str, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["add", name, "--file", str(path), *words]) == 0
    return capsys.readouterr().out.removesuffix("\n")


def test_an_added_key_is_in_force_and_only_its_hash_is_kept(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = add(path, "camera", capsys=capsys)
    second = add(path, "door-2", "--rate", "2.5", "--tasks", "one,other", capsys=capsys)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first not in path.read_text()
    assert len({first, second}) == 2
    keys = KeyFile(path, log=lambda sentence: None)
    found = keys.find(second)
    assert found is not None
    assert (found.name, found.rate, found.tasks) == ("door-2", 2.5, frozenset({"one", "other"}))
    assert keys.find(first)


def test_the_list_has_no_secret(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(path, "camera", capsys=capsys)
    add(path, "door", "--rate", "2.5", "--tasks", "other,one", capsys=capsys)
    assert main(["list", "--file", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "camera: any rate; all tasks",
        "door: 2.5 requests a second; one, other",
    ]


def test_removing_leaves_the_others_and_the_comments(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("first", "second", "third"):
        add(path, name, "--rate", "1", capsys=capsys)
    path.write_text("# ours\n" + path.read_text())
    path.chmod(0o640)
    assert main(["remove", "second", "--file", str(path)]) == 0
    assert [key.name for key in read_keys(path)] == ["first", "third"]
    assert path.read_text().startswith("# ours\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing is left beside it"


def test_a_link_to_the_file_stays_one(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secrets").mkdir()
    target = tmp_path / "secrets" / "keys.toml"
    add(target, "camera", capsys=capsys)
    path.symlink_to(target)
    add(path, "door", capsys=capsys)
    assert path.is_symlink()
    assert len(read_keys(target)) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["add", "camera"], "has a key camera already"),
        (["remove", "door"], "has no key door; it has camera"),
    ],
)
def test_what_can_not_be_done_changes_nothing(
    path: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add(path, "camera", capsys=capsys)
    before = path.read_text()
    assert main([*words, "--file", str(path)]) == 2
    assert sentence in capsys.readouterr().err
    assert path.read_text() == before


def test_a_table_in_another_form_is_left_to_its_author(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(path, "camera", capsys=capsys)
    digest = read_keys(path)[0].sha256.hex()
    path.write_text(f'[keys]\ncamera = {{ sha256 = "{digest}" }}\n')
    before = path.read_text()
    assert main(["remove", "camera", "--file", str(path)]) == 2
    assert "by hand" in capsys.readouterr().err
    assert path.read_text() == before


@pytest.mark.parametrize(
    "words",
    [
        ["add", "a b"],
        ["add", "a", "--rate", "0"],
        ["add", "a", "--rate", "inf"],
        ["add", "a", "--tasks", ","],
    ],
)
def test_wrong_words_are_refused(path: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--file", str(path)])
    assert not path.exists()


def test_a_folder_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["add", "camera", "--file", str(tmp_path / "no" / "keys.toml")]) == 2
    assert "can't be written: No such file or directory" in capsys.readouterr().err
