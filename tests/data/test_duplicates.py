import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from photo_files import make_group
from thumbnails import paint_picture, paint_thumbnail

from convlens.data import duplicates as windows
from convlens.data.duplicates import MIN_CONTRAST, Groups, group_duplicates, measure_contrast
from convlens.data.facts import compute_hashes
from convlens.errors import ConvLensError
from convlens.params import PreprocessParams

CROP = (0.05, 0.0, 0.95, 0.95)


def params(**changes: Any) -> PreprocessParams:
    group: PreprocessParams = make_group("preprocess", **changes)
    return group


def sign(thumbnail: np.ndarray) -> str:
    return "0" * 16 + thumbnail.astype(np.uint8).tobytes().hex()


def table(thumbnails: list[np.ndarray], digests: list[str] | None = None) -> pd.DataFrame:
    names = digests or [hashlib.sha256(str(row).encode()).hexdigest() for row in range(len(thumbnails))]
    return pd.DataFrame({"sha256": names, "perceptual_hash": [sign(each) for each in thumbnails]})


def partition(groups: pd.Series) -> set[frozenset[Any]]:
    """The groups as sets of index entries, whatever their numbers are."""
    return {frozenset(rows) for rows in groups.groupby(groups).groups.values()}


def with_copies() -> list[np.ndarray]:
    """Pictures 0 to 5; then a crop of 0, a darker 1, a noisy 2, a mirrored 3."""
    pictures = [paint_thumbnail(seed) for seed in range(6)]
    noise = np.random.default_rng(0).normal(0, 3, (32, 32))
    copies = [
        paint_thumbnail(0, CROP),
        pictures[1] * 0.8,
        (pictures[2] + noise).clip(0, 255),
        pictures[3][:, ::-1],
    ]
    return pictures + copies


def test_copies_join_their_originals() -> None:
    groups = group_duplicates(table(with_copies()), params())
    assert groups.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 6]


def test_mirrored_photos_join_on_demand() -> None:
    groups = group_duplicates(table(with_copies()), params(match_mirrored=True))
    assert groups.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]


def test_without_near_duplicates_only_the_same_content_joins() -> None:
    photos = table(with_copies())
    photos.loc[9, "sha256"] = photos.loc[4, "sha256"]
    groups = group_duplicates(photos.drop(columns="perceptual_hash"), params(near_duplicates=False))
    assert groups.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 4]


def test_files_of_the_same_content_join_whatever_they_show() -> None:
    black = np.zeros((32, 32))
    groups = group_duplicates(table([black, paint_thumbnail(1), black], ["a", "b", "a"]), params())
    assert groups.tolist() == [0, 1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_groups_do_not_depend_on_the_order(seed: int) -> None:
    photos = table([paint_thumbnail(number % 9, (0, 0, 1 - number / 300, 1)) for number in range(27)])
    expected = partition(group_duplicates(photos, params()))
    assert {len(group) for group in expected} == {3}
    shuffled = photos.sample(frac=1, random_state=seed)
    assert partition(group_duplicates(shuffled, params())) == expected


def test_a_group_is_what_is_connected() -> None:
    """Two crops that share less than 90 % of each side are joined by what both were cut from."""
    ends = [paint_thumbnail(4, (0, 0, 0.9, 0.9)), paint_thumbnail(4, (0.1, 0.1, 1, 1))]
    assert group_duplicates(table(ends), params(duplicate_distance=0)).tolist() == [0, 1]
    assert group_duplicates(table([*ends, paint_thumbnail(4)]), params()).tolist() == [0, 0, 0]


def test_photos_without_features_join_nobody() -> None:
    """Else all black, overexposed or foggy photos would be one group, and what resembles one of them."""
    generator = np.random.default_rng(0)
    flat = [np.full((32, 32), level) + generator.integers(0, 3, (32, 32)) for level in (0, 0, 0, 128, 250, 250)]
    assert (measure_contrast(np.stack(flat)) < MIN_CONTRAST).all()
    photos = table([*flat, flat[0], paint_thumbnail(0), paint_thumbnail(0)])
    assert group_duplicates(photos, params()).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7]


def test_equal_thumbnails_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that is there a thousand times must not cost a million comparisons."""
    hashed: list[int] = []
    original = windows.hash_windows

    def count(thumbnails: np.ndarray, which: windows.Windows) -> np.ndarray:
        hashed.append(len(thumbnails))
        return original(thumbnails, which)

    monkeypatch.setattr("convlens.data.duplicates.hash_windows", count)
    groups = group_duplicates(table([paint_thumbnail(1)] * 300 + [paint_thumbnail(2)]), params())
    assert groups.tolist() == [0] * 300 + [1]
    assert hashed == [2, 2]


def test_the_frames_of_a_standing_camera_need_about_one_comparison_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their hashes are all close: pairs that others have joined already are not looked at."""
    compared: list[int] = []
    original = windows.are_alike

    def count(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
        compared.append(len(outer))
        return original(outer, inner)

    monkeypatch.setattr("convlens.data.duplicates.are_alike", count)
    scene, generator = paint_thumbnail(5), np.random.default_rng(0)
    frames = [(scene + generator.normal(0, 2, (32, 32))).clip(0, 255) for _ in range(120)]
    assert group_duplicates(table(frames), params()).nunique() == 1
    assert sum(compared) < 5 * 120


def test_a_larger_distance_finds_more() -> None:
    copies = [paint_thumbnail(seed, (0.027, 0.027, 0.973, 0.973)) for seed in range(20)]
    photos = table([*(paint_thumbnail(seed) for seed in range(20)), *copies])
    found = [40 - group_duplicates(photos, params(duplicate_distance=bits)).nunique() for bits in (0, 2, 6)]
    assert found == sorted(found)
    assert found[0] < found[-1] == 20


def test_real_signatures_are_read() -> None:
    pictures = [paint_picture(1, (200, 160)), paint_picture(1, (90, 72)), paint_picture(2, (200, 160))]
    signatures = [compute_hashes(picture)["perceptual_hash"] for picture in pictures]
    photos = pd.DataFrame({"sha256": ["a", "b", "c"], "perceptual_hash": signatures})
    assert group_duplicates(photos, params()).tolist() == [0, 0, 1]


def test_a_photo_without_signature_is_told() -> None:
    photos = table([paint_thumbnail(0), paint_thumbnail(1)])
    photos.loc[1, "perceptual_hash"] = ""
    with pytest.raises(ConvLensError, match="Received: 0 digits"):
        group_duplicates(photos, params())


def test_no_photos_and_one() -> None:
    assert group_duplicates(table([]), params()).tolist() == []
    assert group_duplicates(table([paint_thumbnail(0)]), params()).tolist() == [0]


def test_joining_is_transitive() -> None:
    groups = Groups(6)
    groups.join(np.array([0, 2]), np.array([1, 3]))
    groups.join(np.array([1]), np.array([3]))
    assert groups.are_apart(np.array([0, 0, 4]), np.array([2, 4, 5])).tolist() == [False, True, True]
