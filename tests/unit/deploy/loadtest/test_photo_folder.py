"""Which of an operator's pictures are sent: the same ones each time, of all sizes, and what is left out."""

from pathlib import Path

import pytest

from deploy.loadtest.work.folder import choose


def write(folder: Path, name: str, size: int = 1) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


def test_pictures_of_all_folders_below_are_found_by_their_names(tmp_path: Path) -> None:
    for size, name in enumerate(["a.jpg", "deep/er/B.JPEG", "c.png", "d.webp"], start=1):
        write(tmp_path, name, size)
    found = choose(tmp_path, limit=10)
    assert [path.name for path in found.files] == ["a.jpg", "B.JPEG", "c.png", "d.webp"]
    assert found.note == ""


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "notes.txt", "clip.mp4", ".hidden.jpg", ".thumbs/c.jpg"):
        write(tmp_path, name)
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "folder.jpg").mkdir()
    found = choose(tmp_path, limit=1)
    assert len(found.files) == 1
    assert found.note.endswith("1 above the limit, 1 hidden, 1 linked to nothing, 2 of other types")


def test_a_choice_has_all_sizes_and_is_the_same_again(tmp_path: Path) -> None:
    for size in range(100):
        write(tmp_path, f"{99 - size:02}.jpg", 10 * size)
    files = choose(tmp_path, limit=10).files
    assert [path.stat().st_size for path in files] == list(range(0, 1000, 100))
    assert choose(tmp_path, limit=10).files == files


def test_a_folder_without_a_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no picture"):
        choose(tmp_path, limit=10)
    write(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match="it has 1 of other types"):
        choose(tmp_path, limit=10)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, "file")
    with pytest.raises(ValueError, match=f"{name} can't be read"):
        choose(tmp_path / name, limit=10)
