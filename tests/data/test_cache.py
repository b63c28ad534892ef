import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photo_files import encode, make_group, noise_photo, write_classes, write_photo

from convlens.data import cache, validation
from convlens.data.cache import Codec, Photo, cache_folder, map_cached
from convlens.data.facts import Candidate, ScannedPhoto, scan_photo
from convlens.data.sources import describe_photos, list_folder
from convlens.data.validation import Scan, scan_with_pictures
from convlens.errors import ConvLensError
from convlens.params import DataParams
from convlens.stages.preprocess import preprocess

CODEC = Codec(str.encode, bytes.decode)
KEYS = ["a", "b", "c", "d"]


def run(folder: Path | None, keys: Sequence[str] = KEYS, depends_on: object = "x") -> list[str]:
    """What had to be computed; the addresses stand for photos whose content is their name."""
    computed: list[str] = []

    def compute(items: Sequence[str]) -> Iterator[tuple[str, str]]:
        for item in items:
            computed.append(item)
            yield item.upper() * 20, item

    photos = [Photo(f"s3://bucket/{key}", key) for key in keys]
    found = list(map_cached(photos, keys, compute, folder=folder, name="texts", codec=CODEC, depends_on=depends_on))
    assert found == [(key.upper() * 20, key) for key in keys]
    return computed


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def count(folder: Path) -> int:
    ((number,),) = sqlite3.connect(only_file(folder)).execute("SELECT count(*) FROM results")
    return int(number)


def test_what_is_known_is_not_computed_again(tmp_path: Path) -> None:
    assert run(tmp_path) == KEYS
    assert run(tmp_path) == []
    assert run(tmp_path, ["c", "new", "a"]) == ["new"]
    assert run(tmp_path, ["new", "d", "c", "b", "a"]) == []


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(None) == KEYS
    assert run(None) == KEYS
    assert list(tmp_path.iterdir()) == []


def test_results_of_other_parameters_or_code_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    assert run(tmp_path, depends_on="y") == KEYS
    assert run(tmp_path) == KEYS
    monkeypatch.setattr(cache, "describe_code", lambda: "another Pillow")
    assert run(tmp_path) == KEYS
    assert len(list(tmp_path.iterdir())) == 1


def test_what_has_no_digest_or_no_content_is_never_kept(tmp_path: Path) -> None:
    assert run(tmp_path, ["a", ""]) == ["a", ""]
    assert run(tmp_path, ["a", ""]) == [""]
    codec = Codec[str](lambda _: b"", bytes.decode)
    compute = lambda items: ((item, item) for item in items)  # noqa: E731
    options = {"folder": tmp_path, "name": "others", "codec": codec, "depends_on": 0}
    assert list(map_cached([Photo("s3://b/a", "a")], ["a"], compute, **options)) == [("a", "a")]
    (file,) = tmp_path.glob("others-*")
    assert sqlite3.connect(file).execute("SELECT count(*) FROM results").fetchall() == [(0,)]


def test_a_damaged_entry_counts_as_missing(tmp_path: Path) -> None:
    run(tmp_path)
    content = only_file(tmp_path).read_bytes()
    only_file(tmp_path).write_bytes(content.replace(b"BBBB", b"BBxB", 1))
    assert run(tmp_path) == ["b"]
    assert run(tmp_path) == []


def test_what_is_damaged_while_it_is_used_counts_as_missing(tmp_path: Path) -> None:
    run(tmp_path)
    photos = [Photo(f"s3://bucket/{key}", key) for key in KEYS]
    compute = lambda items: ((f"new {item}", item) for item in items)  # noqa: E731
    found = map_cached(photos, KEYS, compute, folder=tmp_path, name="texts", codec=CODEC, depends_on="x")
    assert next(found) == ("A" * 20, "a")
    only_file(tmp_path).write_bytes(bytes(50_000))
    assert all(result in (key.upper() * 20, f"new {key}") for result, key in found)
    assert set(run(tmp_path)) <= set(KEYS)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=200), st.integers(0, 1 << 14))
def test_any_bytes_are_survived(tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int) -> None:
    folder = tmp_path_factory.mktemp("cache")
    run(folder)
    content = only_file(folder).read_bytes()
    only_file(folder).write_bytes(content[:place] + noise + content[place + len(noise) // 2 :])
    run(folder)
    run(folder)


def test_what_a_run_does_not_need_is_deleted_when_it_is_most(tmp_path: Path) -> None:
    run(tmp_path)
    assert run(tmp_path, ["a", "e"]) == ["e"]  # a quarter of what is there
    assert count(tmp_path) == 2
    assert run(tmp_path, ["a", "f"]) == ["f"]  # half of it
    assert count(tmp_path) == 3
    many = [f"photo {number}" * 200 for number in range(100)]
    run(tmp_path, many)
    size = only_file(tmp_path).stat().st_size
    run(tmp_path)
    assert only_file(tmp_path).stat().st_size < size / 4


@pytest.mark.parametrize("limit", ["MAX_BYTES", "FREE_SHARE"])
def test_without_room_work_goes_on(limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, limit, 0)
    assert run(tmp_path) == KEYS
    assert run(tmp_path) == KEYS
    assert count(tmp_path) == 0


@pytest.mark.parametrize("room", [0, 150, 20_000])
def test_a_full_disk_is_no_error(room: int, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        assert run(tmp_path, [key * 100 for key in KEYS]) == [key * 100 for key in KEYS]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run(tmp_path)
    assert run(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "below") == KEYS


def test_a_database_that_another_process_holds_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BUSY_SECONDS", 0.05)
    run(tmp_path)
    other = sqlite3.connect(only_file(tmp_path))
    other.execute("BEGIN EXCLUSIVE")
    assert run(tmp_path) == KEYS
    other.close()
    assert run(tmp_path) == []


# What another process runs: the same answers for some of the photos, through the same folder.
OTHER_PROCESS = """
import sys
from pathlib import Path
from convlens.data.cache import Codec, Photo, map_cached

def compute(items):
    for item in items:
        yield item.upper() * 20, item

keys = [f"photo {number}" for number in range(int(sys.argv[2]), int(sys.argv[3]))]
photos = [Photo(f"s3://bucket/{key}", key) for key in keys]
codec = Codec(str.encode, bytes.decode)
found = list(map_cached(photos, keys, compute, folder=Path(sys.argv[1]), name="texts", codec=codec, depends_on="x"))
assert found == [(key.upper() * 20, key) for key in keys]
"""


def test_processes_may_use_it_at_once(tmp_path: Path) -> None:
    halves = [("0", "200"), ("100", "300")]
    others = [subprocess.Popen([sys.executable, "-c", OTHER_PROCESS, str(tmp_path), *half]) for half in halves]
    assert [other.wait() for other in others] == [0, 0]
    assert run(tmp_path, [f"photo {number}" for number in range(300)]) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    run(tmp_path / "cache")
    file = only_file(tmp_path / "cache")
    precious = tmp_path / "precious"
    precious.write_text("not to be cut")
    file.unlink()
    file.symlink_to(precious)
    assert run(tmp_path / "cache") == KEYS
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

        def note(photo: Candidate, **options: object) -> ScannedPhoto:
            names.append(Path(photo.path).name)
            return scan_photo(photo, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(validation, "scan_photo", note)
        return names

    def test_the_second_time_only_what_is_new_or_broken_is_decoded(
        self, photos: Path, scanned: list[str], tmp_path: Path
    ) -> None:
        def look(cache: Path | None) -> Scan:
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


class TestReplacedPhotos:
    """A photo is replaced while stages run, and put back: the cache never gives what another file was decoded to."""

    @pytest.fixture(autouse=True)
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DVC_ROOT", raising=False)
        monkeypatch.chdir(tmp_path)
        write_classes(tmp_path / "pets", {"cats": 10, "dogs": 10})

    def run(self, tag: str, *, before_scan: bytes | None = None, before_decoding: bytes | None = None) -> list[object]:
        """Brightness, digest and pixels of a photo that is replaced after listing or after scanning."""
        listed = describe_photos(list_folder(Path("pets")), {})
        victim = Path(listed["path"][0])
        if before_scan is not None:
            victim.write_bytes(before_scan)
        manifest = scan_with_pictures(listed, make_group("validate"), cache=cache_folder()).manifest
        (Path(tag) / "manifest").mkdir(parents=True)
        manifest.to_parquet(Path(tag) / "manifest/manifest.parquet")
        if before_decoding is not None:
            victim.write_bytes(before_decoding)
        group, prepared = make_group("preprocess", near_duplicates=False), Path(tag) / "prepared"
        run = partial(preprocess, manifest=Path(tag) / "manifest", data=DataParams(source="pets"), preprocess=group)
        if before_decoding is not None:
            with pytest.raises(ConvLensError, match=r"^Expected photos that stay as `validate` saw them\. Rec"):
                run(prepared=prepared)
            assert not prepared.exists()
            return []
        run(prepared=prepared)
        row = pd.read_csv(prepared / "splits.csv").set_index("path").loc[str(victim)]
        pixels = np.load(prepared / row["split"] / "images-00000.npy")[row["row"]]
        return [manifest["brightness"][0], row["sha256"], pixels.tolist()]

    @pytest.mark.parametrize("warm", [False, True])
    @pytest.mark.parametrize("when", ["before_scan", "before_decoding"])
    def test_results_are_the_same_with_and_without_the_cache(self, when: str, warm: bool) -> None:
        victim = Path("pets/cats/000.png")
        original, other = victim.read_bytes(), encode(noise_photo("other", (96, 96)))
        if warm:
            self.run("warm")
        replaced = self.run("replaced", **{when: other})
        victim.write_bytes(original)
        back = self.run("back")
        cache_folder().rename("elsewhere")
        assert self.run("back without") == back
        cache_folder().rename("elsewhere too")
        victim.write_bytes(original)
        assert self.run("replaced without", **{when: other}) == replaced
        assert replaced[1:] != back[1:]
