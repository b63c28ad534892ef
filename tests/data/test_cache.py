import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photo_files import encode, make_group, noise_photo, write_classes, write_photo

from convlens.data import cache
from convlens.data import facts as scan
from convlens.data.cache import HEADER, Codec, ResultCache, cache_folder
from convlens.data.facts import scan_with_pictures
from convlens.data.sources import describe_photos, list_folder

CODEC = Codec(str.encode, bytes.decode)
KEYS = ["a", "b", "c", "d"]


def run(folder: Path | None, keys: Sequence[str] = KEYS, depends_on: object = "x") -> tuple[list[str], list[str]]:
    """The result of every key, and which of them had to be computed."""
    computed: list[str] = []

    def compute(items: Sequence[str]) -> Iterator[str]:
        for item in items:
            computed.append(item)
            yield item.upper() * 20

    with ResultCache(folder, "texts", codec=CODEC, depends_on=depends_on, keys=keys) as results:
        found = list(results.map(keys, keys, compute))
    assert found == [key.upper() * 20 for key in keys]
    return found, computed


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_what_is_known_is_not_computed_again(tmp_path: Path) -> None:
    assert run(tmp_path)[1] == KEYS
    assert run(tmp_path)[1] == []
    assert run(tmp_path, ["c", "new", "a"])[1] == ["new"]
    assert run(tmp_path, ["new", "d", "c", "b", "a"])[1] == []


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(None)[1] == KEYS
    assert run(None)[1] == KEYS
    assert list(tmp_path.iterdir()) == []


def test_results_of_other_parameters_or_code_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    assert run(tmp_path, depends_on="y")[1] == KEYS
    assert run(tmp_path)[1] == KEYS
    monkeypatch.setattr(cache, "describe_code", lambda: "another Pillow")
    assert run(tmp_path)[1] == KEYS
    assert len(list(tmp_path.iterdir())) == 1


def test_a_key_that_is_empty_is_never_kept(tmp_path: Path) -> None:
    assert run(tmp_path, ["a", ""])[1] == ["a", ""]
    assert run(tmp_path, ["a", ""])[1] == [""]


def test_a_result_without_content_is_not_kept(tmp_path: Path) -> None:
    codec = Codec(lambda _: b"", bytes.decode)
    with ResultCache[str, str](tmp_path, "texts", codec=codec, depends_on=0, keys=["a"]) as results:
        assert list(results.map(["a"], ["a"], iter)) == ["a"]
    assert only_file(tmp_path).read_bytes() == b""


@pytest.mark.parametrize("place", [0, 33, 38, 45, -1])
def test_a_damaged_entry_counts_as_missing(place: int, tmp_path: Path) -> None:
    run(tmp_path)
    content = bytearray(only_file(tmp_path).read_bytes())
    content[place] ^= 0x40
    only_file(tmp_path).write_bytes(content)
    computed = run(tmp_path)[1]
    assert 1 <= len(computed) <= len(KEYS)
    assert run(tmp_path)[1] == []


def test_what_is_damaged_while_it_is_used_counts_as_missing(tmp_path: Path) -> None:
    run(tmp_path)
    with ResultCache[str, str](tmp_path, "texts", codec=CODEC, depends_on="x", keys=KEYS) as results:
        only_file(tmp_path).write_bytes(b"")
        assert list(results.map(KEYS, KEYS, lambda items: (f"new {item}" for item in items))) == [
            f"new {key}" for key in KEYS
        ]


def test_the_piece_that_a_killed_process_leaves_is_cut_off(tmp_path: Path) -> None:
    run(tmp_path)
    whole = only_file(tmp_path).read_bytes()
    only_file(tmp_path).write_bytes(whole[:-5])
    assert run(tmp_path)[1] == ["d"]
    assert only_file(tmp_path).read_bytes() == whole


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_are_survived(tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int) -> None:
    folder = tmp_path_factory.mktemp("cache")
    run(folder)
    content = only_file(folder).read_bytes()
    only_file(folder).write_bytes(content[:place] + noise + content[place + len(noise) // 2 :])
    run(folder)


def test_a_file_is_begun_anew_when_most_of_it_is_not_needed(tmp_path: Path) -> None:
    run(tmp_path)
    assert run(tmp_path, ["a", "e"])[1] == ["a", "e"]  # a quarter of the file: too little
    entry = HEADER.size + 20
    assert only_file(tmp_path).stat().st_size == 2 * entry
    assert run(tmp_path, ["a", "f"])[1] == ["f"]  # half of it
    assert only_file(tmp_path).stat().st_size == 3 * entry


@pytest.mark.parametrize("limit", ["MAX_BYTES", "FREE_SHARE"])
def test_without_room_work_goes_on(limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, limit, 0)
    assert run(tmp_path)[1] == KEYS
    assert run(tmp_path)[1] == KEYS
    assert only_file(tmp_path).read_bytes() == b""


def test_a_full_disk_is_no_error(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
    try:
        assert run(tmp_path)[1] == KEYS
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run(tmp_path)[1] == ["c", "d"]  # two entries of 60 bytes had room


def write_nothing(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_a_disk_that_refuses_every_write_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", write_nothing)
    assert run(tmp_path)[1] == KEYS


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "below")[1] == KEYS


def test_two_processes_do_not_share_a_file(tmp_path: Path) -> None:
    run(tmp_path)
    with ResultCache[str, str](tmp_path, "texts", codec=CODEC, depends_on="x", keys=KEYS):
        assert run(tmp_path)[1] == KEYS
    assert run(tmp_path)[1] == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    run(tmp_path / "cache")
    file = only_file(tmp_path / "cache")
    precious = tmp_path / "precious"
    precious.write_text("not to be cut")
    file.unlink()
    file.symlink_to(precious)
    assert run(tmp_path / "cache")[1] == KEYS
    assert precious.read_text() == "not to be cut"


def test_the_folder_is_the_real_repositorys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert cache_folder() == tmp_path / ".convlens" / "cache"


class TestScan:
    """The facts of photos, kept."""

    @pytest.fixture
    def photos(self, tmp_path: Path) -> Path:
        folder = write_classes(tmp_path / "pets", {"cats": 3, "dogs": 3})
        write_photo(folder / "cats/cut.jpg", encode(noise_photo("cut", (99, 99)), "JPEG")[:300])
        write_photo(folder / "cats/twice.png", noise_photo("twice"))
        write_photo(folder / "cats/twice again.png", noise_photo("twice"))
        return folder

    @pytest.fixture
    def scanned(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        names: list[str] = []
        original: Callable = scan.scan_photo

        def note(photo: scan.Candidate, **options: object) -> scan.ScannedPhoto:
            names.append(Path(photo.path).name)
            return original(photo, **options)

        monkeypatch.setattr(scan, "scan_photo", note)
        return names

    def test_the_second_time_only_what_is_new_or_broken_is_decoded(
        self, photos: Path, scanned: list[str], tmp_path: Path
    ) -> None:
        def look(cache: Path | None) -> scan.Scan:
            scanned.clear()
            return scan_with_pictures(describe_photos(list_folder(photos), {}), make_group("validate"), cache=cache)

        plain = look(None)
        for expected in (9, 1):  # what did not decode is tried again
            kept = look(tmp_path / "cache")
            pd.testing.assert_frame_equal(kept.manifest, plain.manifest)
            pd.testing.assert_frame_equal(kept.gallery, plain.gallery)
            assert len(scanned) == expected
        write_photo(photos / "dogs/new.png", noise_photo("new"))
        (photos / "dogs/000.png").rename(photos / "dogs/moved.png")
        (photos / "dogs/001.png").rename(photos / "dogs/001.jpg")
        (photos / "cats/twice again.png").unlink()
        look(tmp_path / "cache")
        assert scanned == ["cut.jpg", "twice.png", "001.jpg", "new.png"]

    def test_other_limits_are_another_question(self, photos: Path, scanned: list[str], tmp_path: Path) -> None:
        table = describe_photos(list_folder(photos), {})
        scan_with_pictures(table, make_group("validate"), cache=tmp_path / "cache")
        scanned.clear()
        scan_with_pictures(table, make_group("validate", dark_brightness=0.5), cache=tmp_path / "cache")
        assert len(scanned) == 9
