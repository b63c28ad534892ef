import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photo_files import encode, make_flag_limits, noise_photo, quadrants, write_photo
from PIL import Image

from convlens.data import facts as facts_module
from convlens.data.facts import Candidate, PhotoFacts, ScannedPhoto, compute_hashes, find_flag, scan_photo


def scan(path: Path, max_megapixels: float = 10) -> PhotoFacts:
    return look(path, max_megapixels=max_megapixels).facts


def look(path: Path, *, copied: bool = False, **limits: Any) -> ScannedPhoto:
    return scan_photo(Candidate(str(path), copied), flag_limits=make_flag_limits(**limits))


def test_the_facts_of_a_painted_photo(tmp_path: Path) -> None:
    half = np.zeros((60, 100, 3), np.uint8)
    half[:, 50:] = 255
    facts = scan(write_photo(tmp_path / "half.png", Image.fromarray(half)))
    assert facts == PhotoFacts(
        format="PNG",
        mode="RGB",
        frames=1,
        width=100,
        height=60,
        aspect=1.6667,
        orientation=1,
        suffix_agrees=True,
        decodes=True,
        error="",
        brightness=0.5,
        contrast=0.5,
        sharpness=round(2 * 255**2 / 98, 2),  # an edge of 255 on one side, of -255 on the other
        **compute_hashes(Image.fromarray(half)),
    )


@pytest.mark.parametrize("value", [0, 51, 255])
def test_a_flat_photo_has_its_brightness_and_nothing_else(value: int, tmp_path: Path) -> None:
    facts = scan(write_photo(tmp_path / "flat.png", Image.new("L", (64, 64), value)))
    assert facts.brightness == pytest.approx(value / 255, abs=1e-4)
    assert (facts.contrast, facts.sharpness, facts.mode) == (0, 0, "L")


def test_blur_lowers_sharpness(tmp_path: Path) -> None:
    sharp = noise_photo("sharp", (256, 256))
    blurred = sharp.resize((12, 12), Image.Resampling.BOX).resize((256, 256), Image.Resampling.BICUBIC)
    first, second = (
        scan(write_photo(tmp_path / f"{name}.png", photo)) for name, photo in (("a", sharp), ("b", blurred))
    )
    assert second.sharpness < first.sharpness / 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_width_and_height_are_those_of_the_upright_photo(orientation: int, kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write_photo(tmp_path / "turned", Image.fromarray(quadrants()), kind, exif=exif)
    facts = scan(path)
    assert facts.orientation == orientation
    assert (facts.width, facts.height) == ((40, 20) if orientation < 5 else (20, 40))
    assert facts.aspect == (2 if orientation < 5 else 0.5)


@pytest.mark.parametrize(
    ("name", "kind", "agrees"),
    [
        ("a.jpg", "JPEG", True),
        ("a.JPEG", "JPEG", True),
        ("a.jpg", "PNG", False),
        ("a.jpg", "MPO", True),
        ("a.png", "JPEG", False),
        ("a", "PNG", False),
        ("a.tif", "TIFF", True),
        ("a.webp", "WEBP", True),
    ],
)
def test_whether_the_suffix_agrees(name: str, kind: str, agrees: bool, tmp_path: Path) -> None:
    options = {"save_all": True, "append_images": [noise_photo("second")]} if kind == "MPO" else {}
    facts = scan(write_photo(tmp_path / name, noise_photo("first"), kind, **options))
    assert (facts.format, facts.suffix_agrees, facts.decodes) == (kind, agrees, True)


def test_frames_are_counted(tmp_path: Path) -> None:
    frames = [noise_photo(str(index)) for index in range(3)]
    facts = scan(write_photo(tmp_path / "a.gif", frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert (facts.frames, facts.decodes) == (3, True)


def test_a_cut_photo_says_why_and_keeps_what_its_header_told(tmp_path: Path) -> None:
    content = encode(noise_photo("cut", (300, 200)), "JPEG")
    facts = scan(write_photo(tmp_path / "cut.jpg", content[: len(content) // 2]))
    assert (facts.decodes, facts.format, facts.width, facts.height) == (False, "JPEG", 300, 200)
    assert "truncated" in facts.error
    assert str(tmp_path) not in facts.error


def test_reasons_name_no_path(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    errors = {
        "text": scan(write_photo(tmp_path / "readme.jpg", b"hello")).error,
        "empty": scan(write_photo(tmp_path / "empty.jpg", b"")).error,
        "missing": scan(tmp_path / "missing.jpg").error,
        "folder": scan(tmp_path).error,
        "pipe": scan(tmp_path / "pipe").error,
        "link": scan(tmp_path / "link").error,
    }
    assert errors == {
        "text": "not an image that Pillow can read",
        "empty": "not an image that Pillow can read",
        "missing": "the file does not exist",
        "folder": "a folder",
        "pipe": "no regular file",
        "link": "the file does not exist",
    }


def test_a_photo_above_the_limit_is_not_decoded(tmp_path: Path) -> None:
    facts = scan(write_photo(tmp_path / "big.png", Image.new("L", (200, 100))), max_megapixels=0.01)
    assert (facts.decodes, facts.width, facts.height, facts.error) == (False, 200, 100, "200x100 pixels")
    assert scan(tmp_path / "big.png", max_megapixels=0.02).decodes


def test_a_photo_of_one_pixel_can_be_measured(tmp_path: Path) -> None:
    facts = scan(write_photo(tmp_path / "dot.png", Image.new("RGB", (1, 1), (255, 255, 255))))
    assert (facts.decodes, facts.brightness, facts.sharpness) == (True, 1.0, 0.0)


def test_pages_of_a_tiff_are_counted_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's own count takes the square of their number: 300,000 empty pages would keep it busy for hours."""
    frames = [noise_photo(str(index)) for index in range(4)]
    path = write_photo(tmp_path / "a.tiff", frames[0], "TIFF", save_all=True, append_images=frames[1:])
    facts = scan(path)
    assert (facts.frames, facts.decodes) == (4, True)
    assert facts.sharpness == scan(write_photo(tmp_path / "b.png", frames[0])).sharpness  # the first page
    monkeypatch.setattr(facts_module, "MAX_PAGES", 3)
    assert scan(path).error == "a TIFF of more than 3 pages"


@pytest.mark.parametrize(
    ("flag", "content", "limits"),
    [
        ("", noise_photo("good", (60, 50)), {}),
        ("too_small", noise_photo("small", (60, 20)), {}),
        ("dark", Image.new("RGB", (60, 50)), {}),
        ("blurred", Image.new("RGB", (60, 50), (128, 128, 128)), {}),
        ("format", noise_photo("format", (60, 50)), {"formats": ("JPEG",)}),
    ],
)
def test_flagged_photos_come_with_a_picture(flag: str, content: Image.Image, limits: dict, tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.png", content)
    found = look(path, **limits)
    assert (found.flag, bool(found.thumbnail)) == (flag, bool(flag))
    copy = look(path, copied=True, **limits)
    assert (copy.flag, copy.facts) == ("copied", found.facts)
    with Image.open(io.BytesIO(copy.thumbnail)) as picture:
        assert (picture.format, picture.size) == ("JPEG", content.size)


def test_pictures_are_small(tmp_path: Path) -> None:
    found = look(write_photo(tmp_path / "a.png", noise_photo("large", (1600, 900))), copied=True)
    with Image.open(io.BytesIO(found.thumbnail)) as picture:
        assert picture.size == (160, 90)
    assert len(found.thumbnail) < 16_000


def test_a_second_view_of_a_phone_is_no_animation() -> None:
    good = PhotoFacts(width=50, height=50, frames=2, brightness=0.5, sharpness=99)
    flags = {kind: find_flag(replace(good, format=kind), make_flag_limits()) for kind in ("MPO", "GIF", "TIFF")}
    assert flags == {"MPO": "", "GIF": "later_frames", "TIFF": "later_frames"}


def test_what_is_measured_does_not_depend_on_the_order_of_sums() -> None:
    """Sums of integers are exact, so two machines agree to the last digit."""
    values = np.random.default_rng(0).integers(-1020, 1021, (254, 254), dtype=np.int32)
    assert facts_module._variance(values) == facts_module._variance(values[::-1, ::-1])
    assert facts_module._variance(values) == pytest.approx(float(values.astype(float).var()), rel=1e-12)
