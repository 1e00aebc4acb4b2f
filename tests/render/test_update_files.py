"""Bringing a folder that people work in up to date: nothing that they wrote is lost, nothing of ours is left over."""

from pathlib import Path

import pytest

from tightrope.base.errors import InputError
from tightrope.render.files import LISTS, STARTS, update_files

OURS = {Path("aws/main.tf"): "a\n", Path("aws/pools/one.yaml"): "b\n", Path("aws/settings.auto.tfvars"): "team =\n"}


def test_a_first_render_writes_everything(tmp_path: Path) -> None:
    done = update_files(tmp_path / "out", OURS, "terraform")
    assert set(done.written) == set(OURS)
    assert (tmp_path / "out/aws/main.tf").read_text() == "a\n"
    assert (tmp_path / "out" / LISTS / "terraform.json").exists()


def test_a_second_render_changes_only_what_the_plan_changed(tmp_path: Path) -> None:
    update_files(tmp_path, OURS, "terraform")
    stamp = (tmp_path / "aws/main.tf").stat().st_mtime_ns
    done = update_files(tmp_path, OURS | {Path("aws/pools/one.yaml"): "c\n"}, "terraform")
    assert done.written == (Path("aws/pools/one.yaml"),)
    assert done.same == (Path("aws/main.tf"),)
    assert done.yours == (Path("aws/settings.auto.tfvars"),)
    assert (tmp_path / "aws/main.tf").stat().st_mtime_ns == stamp


def test_what_is_no_longer_rendered_goes_with_its_folder(tmp_path: Path) -> None:
    update_files(tmp_path, OURS, "terraform")
    done = update_files(tmp_path, {Path("aws/main.tf"): "a\n"}, "terraform")
    assert done.removed == (Path("aws/pools/one.yaml"),)
    assert not (tmp_path / "aws/pools").exists()
    assert (tmp_path / "aws/settings.auto.tfvars").exists(), "what is the user's stays"


def test_what_can_not_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update_files(tmp_path, OURS, "terraform")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(InputError, match="cannot be removed: Permission denied"):
        update_files(tmp_path, {Path("aws/main.tf"): "a\n"}, "terraform")


def test_the_users_settings_are_never_replaced(tmp_path: Path) -> None:
    update_files(tmp_path, OURS, "terraform")
    (tmp_path / "aws/settings.auto.tfvars").write_text('team = "search"\n')
    update_files(tmp_path, OURS | {Path("aws/settings.auto.tfvars"): "new start\n"}, "terraform", force=True)
    assert (tmp_path / "aws/settings.auto.tfvars").read_text() == 'team = "search"\n'


def test_settings_that_may_lack_something_are_told(tmp_path: Path) -> None:
    path = Path("aws/settings.auto.tfvars")
    update_files(tmp_path, OURS, "terraform")
    (tmp_path / path).write_text('team = "search"\n')
    assert not update_files(tmp_path, OURS, "terraform").outdated
    assert update_files(tmp_path, OURS | {path: "team =\nregion =\n"}, "terraform").outdated == (path,)
    assert (tmp_path / STARTS / path).read_text() == "team =\nregion =\n", "so that they can be compared"
    assert (tmp_path / path).read_text() == 'team = "search"\n'
    done = update_files(tmp_path, {Path("gcp/main.tf"): "a\n"}, "terraform")
    assert done.unused == (path,)
    assert (tmp_path / path).exists()
    assert not (tmp_path / STARTS).exists()


@pytest.mark.parametrize(
    "files", [OURS | {Path("aws/main.tf"): "z\n"}, {Path("aws/pools/one.yaml"): "b\n"}], ids=["replaced", "removed"]
)
def test_a_change_by_hand_is_not_lost(tmp_path: Path, files: dict[Path, str]) -> None:
    update_files(tmp_path, OURS, "terraform")
    (tmp_path / "aws/main.tf").write_text("by hand\n")
    with pytest.raises(InputError, match=r"not as rendered, and would be lost: aws/main\.tf"):
        update_files(tmp_path, files, "terraform")
    assert (tmp_path / "aws/main.tf").read_text() == "by hand\n"
    update_files(tmp_path, files, "terraform", force=True)
    assert (tmp_path / "aws/main.tf").exists() == (Path("aws/main.tf") in files)


def test_a_file_that_was_never_ours_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws/main.tf").write_bytes(b"\xff\x00 not text")
    with pytest.raises(InputError, match="would be lost"):
        update_files(tmp_path, OURS, "terraform")
    assert (tmp_path / "aws/main.tf").read_bytes() == b"\xff\x00 not text"
    assert not (tmp_path / "aws/pools").exists(), "nothing is written where something is refused"


def test_two_targets_share_a_folder(tmp_path: Path) -> None:
    update_files(tmp_path, OURS, "terraform")
    update_files(tmp_path, {Path("base/deployment.yaml"): "d\n"}, "kubernetes")
    assert (tmp_path / "aws/main.tf").exists(), "another target's files are not ours to remove"
    update_files(tmp_path, {Path("aws/main.tf"): "for aws alone\n"}, "terraform-aws")
    assert (tmp_path / "aws/main.tf").read_text() == "for aws alone\n", "what another list knows may be replaced"


@pytest.mark.parametrize("text", ["[]", "{", '{"/etc/passwd": "0"}', '{"../x": "0"}'])
def test_a_list_that_was_tampered_with_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / LISTS).mkdir()
    (tmp_path / LISTS / "terraform.json").write_text(text)
    with pytest.raises(InputError, match="not a list of rendered files"):
        update_files(tmp_path, OURS, "terraform")
