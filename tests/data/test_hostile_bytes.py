"""Whatever the bytes, the loader and the unpacker say what is wrong, and keep neither memory nor files."""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_files import ROOT, encode, make_flag_limits, noise_photo

from convlens.data.download import is_archive, unpack_archive
from convlens.data.facts import Candidate, PhotoFacts, scan_photo
from convlens.data.loader import LoaderSettings, PhotoError, load_photo
from convlens.errors import ConvLensError

KINDS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "MPO", "ICO", "TGA", "PPM", "JPEG2000", "PCX", "SGI",
         "DDS")  # fmt: skip
WHOLE = [encode(noise_photo(kind, (48, 40)), kind, **({"save_all": True} if kind == "MPO" else {})) for kind in KINDS]
SETTINGS = LoaderSettings(16)
QUICK = settings(max_examples=150, deadline=None, derandomize=True, database=None,
                 suppress_health_check=[HealthCheck.too_slow])  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, wholes: list[bytes]) -> bytes:
    """A file that was cut, overwritten in places, lengthened, or is nothing but its first bytes and noise."""
    content = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(content) - 1) | st.integers(0, min(len(content), 64) - 1))
        piece = draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"]))
        content[place : place + len(piece)] = piece
    if draw(st.booleans()):
        del content[draw(st.integers(1, len(content))) :]
    return bytes(content) + draw(st.binary(max_size=64))


@QUICK
@given(damaged(WHOLE) | st.binary(max_size=200))
def test_the_loader_gives_a_photo_or_says_why_not(content: bytes) -> None:
    try:
        photo = load_photo(content, SETTINGS)
    except PhotoError as error:
        told = (str(error), error.reason)
    else:
        told = ("", "x")
        assert photo.shape == (16, 16, 3)
    assert "\n" not in told[0]
    assert told[1]


@QUICK
@given(damaged(WHOLE) | st.binary(max_size=200))
def test_the_scan_gives_a_row_whatever_comes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "photo.jpg")
        path.write_bytes(content)
        facts = scan_photo(Candidate(str(path)), flag_limits=make_flag_limits()).facts
    assert isinstance(facts, PhotoFacts)
    assert facts.decodes == (facts.error == "")
    assert 0 <= facts.brightness <= 1
    assert 0 <= facts.contrast <= 0.5
    assert np.isfinite(facts.sharpness)


def whole_archives() -> list[bytes]:
    """The same three files as zip, and as tar plain and compressed."""
    files = {"pets/cats/1.jpg": b"meow", "pets/dogs/" + "long " * 30 + ".jpg": b"woof" * 500, "pets/empty.txt": b""}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return [packed.getvalue(), *(write_tar(files, mode) for mode in ("w", "w:gz", "w:bz2", "w:xz"))]


def write_tar(files: dict[str, bytes], mode: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@QUICK
@given(damaged(whole_archives()) | st.binary(max_size=200))
def test_an_archive_is_unpacked_in_its_folder_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive, target = Path(folder, "archive"), Path(folder, "inner", "raw")
        archive.write_bytes(content)
        target.mkdir(parents=True)
        told = ""
        if is_archive(archive):
            try:
                unpack_archive(archive, target)
            except ConvLensError as error:
                told = str(error)
        assert "\n" not in told
        assert sorted(path.name for path in Path(folder).iterdir()) == ["archive", "inner"]
        assert [path.name for path in target.parent.iterdir()] == ["raw"]
        assert not [path for path in target.rglob("*") if path.is_symlink()]


LEAK = """
import resource, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from photo_files import encode, noise_photo
from convlens.data.loader import LoaderSettings, PhotoError, load_photo

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

wholes = [encode(noise_photo(kind, (400, 300)), kind) for kind in ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")]
generator = np.random.default_rng(0)

def load_damaged(count):
    failed = 0
    for turn in range(count):
        broken = bytearray(wholes[turn % len(wholes)])
        for place in generator.integers(0, len(broken), 4):
            broken[place] = generator.integers(256)
        if turn % 2:
            del broken[generator.integers(1, len(broken)):]
        try:
            load_photo(bytes(broken), LoaderSettings(64))
        except PhotoError:
            failed += 1
    return failed

load_damaged(150)
before = resident()
failed = load_damaged(600)
print(failed, resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells the size of a process there")
def test_hostile_photos_leave_no_memory_behind() -> None:
    """600 photos of 360 kB of pixels, most of them broken: 200 MB would stay if they were kept."""
    command = [sys.executable, "-c", LEAK, str(ROOT / "tests")]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    failed, growth = map(int, done.stdout.split())
    assert failed > 300
    assert growth < 40 << 20
