"""Files are written all or nothing."""

from pathlib import Path

import pytest

from tightrope.base.errors import InputError
from tightrope.render.files import write_files


def listing(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()}


def test_a_new_folder_holds_exactly_the_files(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    write_files(out, {Path("plan.json"): "{}\n", Path("k8s/pool.yaml"): "a: ≤ 1\n"})
    assert (out / "k8s" / "pool.yaml").read_bytes() == "a: ≤ 1\n".encode()
    assert listing(tmp_path) == {"deep/out/plan.json": "{}\n", "deep/out/k8s/pool.yaml": "a: ≤ 1\n"}


def test_an_earlier_output_is_replaced_and_strangers_stay(tmp_path: Path) -> None:
    write_files(tmp_path, {Path("a.txt"): "old", Path("b.txt"): "old"})
    (tmp_path / "notes.md").write_text("mine")
    write_files(tmp_path, {Path("a.txt"): "new"})
    assert listing(tmp_path) == {"a.txt": "new", "b.txt": "old", "notes.md": "mine"}


def test_a_file_in_the_folders_place_is_never_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("precious")
    with pytest.raises(InputError, match="Resolve:"):
        write_files(out, {Path("a.txt"): "new"})
    assert listing(tmp_path) == {"out": "precious"}


@pytest.mark.parametrize("path", ["../a.txt", "/a.txt", "b/../../a.txt", "."])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="inside the output folder"):
        write_files(tmp_path / "out", {Path(path): "x"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fresh", [True, False])
def test_a_failure_leaves_no_trace(tmp_path: Path, fresh: bool) -> None:
    out = tmp_path / "out"
    if not fresh:
        write_files(out, {Path("a"): "old"})
    before = listing(tmp_path)
    with pytest.raises(InputError, match="cannot write"):
        write_files(out, {Path("a"): "new", Path("a/b"): "the file a is no folder"})
    assert listing(tmp_path) == before
    assert [path.name for path in tmp_path.rglob("*.part")] == []


def test_a_folder_in_a_files_place_is_refused_before_writing(tmp_path: Path) -> None:
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(InputError, match="folder stands"):
        write_files(tmp_path, {Path("a.txt"): "x", Path("plan.json"): "{}"})
    assert listing(tmp_path) == {}


def test_a_parent_that_is_a_file_is_a_readable_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write"):
        write_files(tmp_path / "file" / "out", {Path("a.txt"): "x"})
