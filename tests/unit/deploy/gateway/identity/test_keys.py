"""API keys: what a file of them holds, who may read it, and that it is followed."""

import os
from pathlib import Path

import pytest

from deploy.gateway.identity.keys import KeyFile, hash_of, new_key, parse_keys
from deploy.gateway.identity.protected_files import UnusableFile

KEY = new_key()
ENTRY = f'[keys.camera]\nsha256 = "{hash_of(KEY).hex()}"\n'


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "keys.toml"
    file.touch(mode=0o600)
    file.write_text(ENTRY)
    return file


def test_a_key_is_found_by_its_text_alone(path: Path) -> None:
    keys = KeyFile(path, log=lambda sentence: None)
    found = keys.find(KEY)
    assert found is not None
    assert (found.name, found.rate, found.tasks) == ("camera", None, None)
    for other in (new_key(), KEY[:-1], KEY + "x", "", hash_of(KEY).hex(), "\udc80"):
        assert keys.find(other) is None


def test_an_entry_has_a_rate_and_tasks() -> None:
    (key,) = parse_keys(ENTRY + 'rate = 50\ntasks = ["one", "other"]\n', source="x")
    assert (key.rate, key.tasks) == (50.0, frozenset({"one", "other"}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("keys = [", "not valid TOML"),
        ("other = 1\n" + ENTRY, "nothing else"),
        ("[keys]\ncamera = 3\n", "must be a table"),
        ('[keys.camera]\nsha256 = "12"\n', "64 hexadecimal digits"),
        ("[keys.camera]\nrate = 1\n", "64 hexadecimal digits"),
        (ENTRY + "rate = 0\n", "more than 0"),
        (ENTRY + "rate = nan\n", "more than 0"),
        (ENTRY + "rate = true\n", "more than 0"),
        (ENTRY + "tasks = []\n", "list of tasks"),
        (ENTRY + 'tasks = ["a b"]\n', "list of tasks"),
        (ENTRY + "key = 1\n", "unknown field key"),
        (ENTRY.replace("camera", '"a b"'), "letters, digits"),
        (ENTRY + ENTRY.replace("camera", "door"), "camera and door are the same key"),
    ],
    ids=range(13),  # the key is another one in each process that shares the tests
)
def test_a_wrong_file_is_refused_with_a_sentence_without_hashes(text: str, words: str) -> None:
    with pytest.raises(UnusableFile, match=words) as raised:
        parse_keys(text, source="the file")
    assert hash_of(KEY).hex() not in str(raised.value)
    assert str(raised.value).startswith("the file")


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o620])
def test_a_file_that_others_can_read_or_change_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(UnusableFile, match=f"mode {mode:04o}.*chmod 600"):
        KeyFile(path, log=lambda sentence: None)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_a_file_that_a_group_may_read_is_taken(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert KeyFile(path, log=lambda sentence: None).find(KEY)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="does not exist"):
        KeyFile(tmp_path / "keys.toml", log=lambda sentence: None)


def test_a_changed_file_is_followed_within_a_second(path: Path) -> None:
    clock, logged, other = Clock(), list[str](), new_key()
    keys = KeyFile(path, log=logged.append, clock=clock)
    path.write_text(ENTRY.replace(hash_of(KEY).hex(), hash_of(other).hex()) + "rate = 5\n")
    assert keys.find(KEY), "one look a second is enough"
    clock.now += 1.0
    assert keys.find(KEY) is None
    found = keys.find(other)
    assert found is not None
    assert found.rate == 5.0
    assert logged == [f"read 1 API keys from {path}"]


def test_a_replaced_file_of_the_same_size_is_followed(path: Path, tmp_path: Path) -> None:
    clock, other = Clock(), new_key()
    keys = KeyFile(path, log=lambda sentence: None, clock=clock)
    replacement = tmp_path / "new"
    replacement.touch(mode=0o600)
    replacement.write_text(ENTRY.replace(hash_of(KEY).hex(), hash_of(other).hex()))
    old = path.stat()
    os.utime(replacement, ns=(old.st_atime_ns, old.st_mtime_ns))
    replacement.replace(path)
    clock.now += 1.0
    assert keys.find(other)
    assert not keys.find(KEY)


@pytest.mark.parametrize("damage", ["text", "mode", "missing"])
def test_a_broken_new_file_keeps_the_old_keys_and_is_logged_once(path: Path, damage: str) -> None:
    clock, logged = Clock(), list[str]()
    keys = KeyFile(path, log=logged.append, clock=clock)
    if damage == "text":
        path.write_text(ENTRY + "rate = ")
    elif damage == "mode":
        path.chmod(0o666)
    else:
        path.unlink()
    for _ in range(3):
        clock.now += 1.0
        assert keys.find(KEY)
    (sentence,) = logged
    assert str(path) in sentence
    assert "stay in force" in sentence
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    clock.now += 1.0
    assert keys.find(KEY) is None, "a file without keys that is whole ends them all"
