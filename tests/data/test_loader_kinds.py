"""Every kind of file that a phone, a camera or a web site leaves behind."""

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photo_files import ROOT, encode, make_flag_limits, quadrants, write_photo
from PIL import Image, features

from convlens.data.facts import Candidate, PhotoFacts, scan_photo
from convlens.data.loader import LoaderSettings, PhotoError, load_photo
from convlens.data.sources import describe_photos, list_folder

PICTURE = Image.fromarray(quadrants(64, 48))
SETTINGS = LoaderSettings(32)
COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def interlaced_png(picture: Image.Image) -> bytes:
    """Adam7, which Pillow reads and does not write: seven small pictures, one after the other."""
    import struct
    import zlib

    pixels = np.asarray(picture)
    steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    passes = [pixels[top::down, left::right] for top, left, down, right in steps]
    data = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    told = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


def deep_png() -> bytes:
    """16 bits per channel, as scanners write them; Pillow reads it and does not write it."""
    import struct
    import zlib

    pixels = (np.asarray(PICTURE).astype(">u2") * 257).astype(">u2")
    data = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(data)),
        (b"IEND", b""),
    ]
    told = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


def palette_with_alpha() -> bytes:
    return encode(PICTURE.convert("RGBA").quantize(8), "PNG")


KINDS: dict[str, tuple[bytes, str]] = {
    "JPEG": (encode(PICTURE, "JPEG", quality=95, subsampling=0), "JPEG"),
    "progressive JPEG": (encode(PICTURE, "JPEG", quality=95, subsampling=0, progressive=True), "JPEG"),
    "CMYK JPEG": (encode(PICTURE.convert("CMYK"), "JPEG", quality=95), "JPEG"),
    "PNG": (encode(PICTURE, "PNG"), "PNG"),
    "interlaced PNG": (interlaced_png(PICTURE), "PNG"),
    "16-bit PNG": (deep_png(), "PNG"),
    "palette PNG": (encode(PICTURE.quantize(8), "PNG"), "PNG"),
    "palette PNG with alpha": (palette_with_alpha(), "PNG"),
    "lossless WebP": (encode(PICTURE, "WEBP", lossless=True), "WEBP"),
    "lossy WebP": (encode(PICTURE, "WEBP", quality=95), "WEBP"),
    "GIF": (encode(PICTURE, "GIF"), "GIF"),
    "BMP": (encode(PICTURE, "BMP"), "BMP"),
    "TIFF": (encode(PICTURE, "TIFF"), "TIFF"),
    "compressed TIFF": (encode(PICTURE, "TIFF", compression="tiff_lzw"), "TIFF"),
    "MPO": (encode(PICTURE, "MPO", save_all=True, append_images=[PICTURE], quality=95, subsampling=0), "MPO"),
}
if features.check("avif"):
    KINDS["AVIF"] = (encode(PICTURE, "AVIF", quality=95, subsampling="4:4:4"), "AVIF")


def scan(path: Path) -> PhotoFacts:
    return scan_photo(Candidate(str(path)), flag_limits=make_flag_limits()).facts


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_read_right_whatever_its_suffix(name: str, tmp_path: Path) -> None:
    content, kind = KINDS[name]
    for suffix in (".jpg", ".PNG", ".weird", ""):
        path = write_photo(tmp_path / f"photo{suffix}", content)
        photo = load_photo(path, SETTINGS).astype(int)
        corners = photo[[8, 8, 24, 24], [8, 24, 8, 24]]
        assert np.abs(corners - COLORS).max() <= 24, (name, suffix)
        facts = scan(path)
        assert (facts.format, facts.width, facts.height, facts.decodes) == (kind, 64, 48, True)


def test_gray_jpeg(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", Image.new("L", (40, 40), 90), "JPEG")
    assert np.abs(load_photo(path, SETTINGS).astype(int) - 90).max() <= 1
    assert scan(path).mode == "L"


def test_heic_names_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    path = write_photo(tmp_path / "IMG_0001.HEIC", HEIC)
    for photo in (path, HEIC):
        with pytest.raises(PhotoError, match=r"a HEIC photo\. Run `pip install pillow-heif` and add HEIF to"):
            load_photo(photo, SETTINGS)
    assert scan(path).error.startswith("a HEIC photo. Run `pip install pillow-heif`")


def test_an_installed_plugin_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin: Any = types.ModuleType("pillow_heif")
    plugin.register_heif_opener = lambda: None
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    opened: list[Any] = []
    really = Image.open

    def open_it(photo: Any) -> Image.Image:
        opened.append(photo)
        return really(photo) if len(opened) == 1 else PICTURE.copy()

    monkeypatch.setattr(Image, "open", open_it)
    assert load_photo(HEIC, SETTINGS).shape == (32, 32, 3)
    assert len(opened) == 2


def test_no_other_program_is_started(tmp_path: Path) -> None:
    """Pillow would give PostScript to Ghostscript."""
    path = write_photo(tmp_path / "photo.jpg", PICTURE, "EPS")
    with pytest.raises(PhotoError, match="an EPS file, which only another program can draw"):
        load_photo(path, SETTINGS)
    assert scan(path).error == "format EPS is drawn by another program"


def test_names_of_every_sort_are_scanned(tmp_path: Path) -> None:
    names = ["a photo (1).jpg", "Kätzchen.JPG", "写真 🐶.jpeg", "two\nlines.jpg", "tab\there.jpg", "x" * 250 + ".jpg",
             "no suffix", "'quoted' \"twice\".jpg", "%s {x} $y.jpg", "-rf.jpg", "NA",
             "deep/er/and deeper/1.jpg"]  # fmt: skip
    for name in names:
        write_photo(tmp_path / "cats" / name)
    write_photo(tmp_path / "dogs/1.png")
    listed = describe_photos(list_folder(tmp_path), {})
    assert len(listed) == len(names) + 1
    assert all(scan(Path(path)).decodes for path in listed["path"])


READER = """
import os, sys
from pathlib import Path
import PIL.JpegImagePlugin, PIL.PngImagePlugin, PIL.Image
from convlens.data.facts import Candidate, FlagLimits, scan_photo
from convlens.data.sources import describe_photos, list_folder, ListedPhoto
import pandas, concurrent.futures.thread
source = Path(sys.argv[1])
os.setgid(65534); os.setuid(65534)
for name in ("cats/secret.png", "dogs/1.png"):
    facts = scan_photo(Candidate(str(source / name)), flag_limits=FlagLimits((), 1, 9.0, 0.0, 0.0)).facts
    print(name, facts.decodes, facts.error)
table = describe_photos([ListedPhoto(str(source / "cats/secret.png"), "cats", "")], {})
print(table["bytes"].tolist(), table["sha256"].tolist())
"""


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="as nobody else there is nobody to become")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    """The super-user may read all, so another user tries."""
    for folder in (tmp_path, *[parent for parent in tmp_path.parents if str(parent).startswith("/tmp/")]):
        folder.chmod(0o755)
    write_photo(tmp_path / "cats/secret.png").chmod(0)
    write_photo(tmp_path / "dogs/1.png").chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path)], capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": os.environ["PATH"]}, cwd="/",
    )  # fmt: skip
    assert done.stdout.splitlines() == ["cats/secret.png False Permission denied", "dogs/1.png True ", "[0] ['']"], (
        done.stderr
    )
