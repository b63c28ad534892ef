import hashlib
import io
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from photo_files import make_group
from PIL import Image
from thumbnails import paint_picture, paint_thumbnail

from convlens.data import duplicates as hamming
from convlens.data import duplicates as windows
from convlens.data.duplicates import (
    HASHED_SIDE,
    INNER,
    MIN_CONTRAST,
    OUTER,
    Groups,
    are_alike,
    count_bits,
    describe_groups,
    find_close,
    group_duplicates,
    hash_windows,
    is_large,
    measure_contrast,
    plan_tables,
    read_thumbnails,
)
from convlens.data.facts import compute_hashes, hash_thumbnails
from convlens.errors import ConvLensError
from convlens.params import PreprocessParams

# --- hashes ---


def read_bits(digits: str) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits[:16]), np.uint8))


def distance(first: Image.Image, second: Image.Image) -> int:
    hashes = [compute_hashes(image)["perceptual_hash"] for image in (first, second)]
    return int((read_bits(hashes[0]) != read_bits(hashes[1])).sum())


def recompress(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def test_digits_are_lower_case_and_always_as_many() -> None:
    for image in (paint_picture(0), Image.new("RGB", (1, 1)), Image.new("RGB", (3000, 2), "white")):
        hashes = compute_hashes(image)
        assert {name: len(digits) for name, digits in hashes.items()} == {
            "perceptual_hash": 16 + 2 * 32 * 32,
        }
        assert set("".join(hashes.values())) <= set("0123456789abcdef")


def test_the_hash_is_the_published_one() -> None:
    """Bits computed step by step as the definition of pHash says, from a plain cosine transform."""
    picture = paint_picture(3)
    gray = np.asarray(picture.resize((32, 32), Image.Resampling.BOX).convert("L"), float)
    places = np.arange(32)
    waves = [np.cos(np.pi * (2 * places + 1) * number / 64) for number in range(8)]
    low = np.array([[(gray * np.outer(down, across)).sum() for across in waves] for down in waves])
    expected = (low > np.median(low)).ravel()
    np.testing.assert_array_equal(read_bits(compute_hashes(picture)["perceptual_hash"]), expected)


@pytest.mark.parametrize("seed", range(5))
def test_the_hash_stays_near_where_the_picture_stays_the_same(seed: int) -> None:
    picture = paint_picture(seed, (200, 150))
    assert distance(picture, picture.resize((100, 75))) <= 4
    assert distance(picture, recompress(picture, 30)) <= 4
    assert distance(picture, picture.point(lambda value: value * 0.8)) <= 4
    assert distance(picture, paint_picture(seed + 100, (200, 150))) > 14


def test_thumbnails_come_back() -> None:
    pictures = [paint_picture(seed, (32, 32)).convert("L") for seed in range(3)]
    signatures = [compute_hashes(picture.convert("RGB"))["perceptual_hash"] for picture in pictures]
    np.testing.assert_array_equal(read_thumbnails(signatures), np.stack([np.asarray(each) for each in pictures]))
    assert read_thumbnails([]).shape == (0, HASHED_SIDE, HASHED_SIDE)


def test_a_manifest_of_another_version_is_told() -> None:
    with pytest.raises(ConvLensError, match=r"Expected perceptual hashes of 2064 digits .* Received: 16 digits"):
        read_thumbnails([compute_hashes(paint_picture(0))["perceptual_hash"], "0" * 16])


def test_a_symmetric_picture_has_exactly_the_hash_of_its_mirror_image() -> None:
    """Frequencies that cancel out are exactly 0, not what rounding leaves of them."""
    half = np.random.default_rng(0).integers(0, 256, (1, 32, 16), np.uint8)
    both = np.concatenate([half, half[:, :, ::-1]], axis=2)
    assert hash_thumbnails(both) == hash_thumbnails(both[:, :, ::-1])
    assert hash_thumbnails(np.full((1, 32, 32), 77, np.uint8)) == 1 << 63  # one color: nothing but the mean


# --- close hashes ---


def random_hashes(count: int, seed: int, radius: int = 4) -> np.ndarray:
    """Hashes of which about half differ from another one in few bits: up to two more than `radius`."""
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 2**64, count, dtype=np.uint64)
    for row in range(count // 2, count):
        flips = generator.choice(64, generator.integers(0, radius + 3), replace=False)
        change = sum(1 << int(bit) for bit in flips)
        hashes[row] = hashes[generator.integers(0, row)] ^ np.uint64(change)
    return hashes


def found(queries: np.ndarray, database: np.ndarray, radius: int) -> set[tuple[int, int]]:
    return {
        (int(row), int(place))
        for rows, places in find_close(queries, database, radius=radius)
        for row, place in zip(rows, places, strict=True)
    }


def brute_force(queries: np.ndarray, database: np.ndarray, radius: int) -> set[tuple[int, int]]:
    distances = [[(int(query) ^ int(each)).bit_count() for each in database] for query in queries]
    return {(int(row), int(place)) for row, place in np.argwhere(np.array(distances) <= radius)}


@pytest.mark.parametrize("radius", [0, 1, 2, 4, 6, 10])
@pytest.mark.parametrize("seed", range(3))
def test_the_tables_find_what_comparing_all_with_all_finds(radius: int, seed: int) -> None:
    hashes = random_hashes(120, seed, radius)
    queries = np.concatenate([hashes[::3], random_hashes(20, seed + 50)])
    expected = brute_force(queries, hashes, radius)
    assert len(expected) >= 40  # each query from the database finds at least itself
    assert found(queries, hashes, radius) == expected


@pytest.mark.parametrize("num_hashes", [10, 10**4, 10**6, 10**8])
@pytest.mark.parametrize("radius", [0, 1, 3, 6, 10])
def test_any_close_pair_agrees_in_the_blocks_of_a_table(num_hashes: int, radius: int) -> None:
    """The promise of the pigeonhole principle, for the worst places of the bits that differ: one in each block."""
    tables = plan_tables(num_hashes, num_hashes, radius)
    blocks = sorted({block for table in tables for block in table})
    assert [edge for block in blocks for edge in block][1:-1:2] == [start for start, _ in blocks[1:]]
    assert (blocks[0][0], blocks[-1][1]) == (0, 64)
    spoiled_sets = list(combinations(range(len(blocks)), min(radius, len(blocks))))[:500]
    for spoiled in spoiled_sets:
        intact = {block for place, block in enumerate(blocks) if place not in spoiled}
        assert any(set(table) <= intact for table in tables)


def test_more_hashes_take_longer_keys() -> None:
    """So that buckets do not grow with the number of hashes."""
    keys = [len(plan_tables(count, count, 6)[0]) for count in (100, 10**5, 10**7)]
    assert keys == sorted(keys)
    assert keys[0] < keys[-1]


def test_small_chunks_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = random_hashes(150, seed=9)
    whole = found(hashes, hashes, 4)
    monkeypatch.setattr(hamming, "MAX_PAIRS", 7)
    assert found(hashes, hashes, 4) == whole


def test_the_work_on_equal_hashes_is_bounded_and_connects_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "MAX_BUCKET", 8)
    hashes = np.full(200, 0xABCDEF, np.uint64)
    pairs = [len(rows) for rows, _ in find_close(hashes, hashes, radius=2)]
    assert sum(pairs) <= 200 * 8 * len(plan_tables(200, 200, 2))
    partners = {place for _, place in found(hashes, hashes, 2)}
    assert {(row, min(partners)) for row in range(200)} <= found(hashes, hashes, 2)  # a star: one group


def test_a_full_bucket_still_gives_the_nearest_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "MAX_BUCKET", 4)
    rng = np.random.default_rng(0)
    hashes = rng.permutation(np.arange(40, dtype=np.uint64) << np.uint64(58))  # differ in the topmost bits only
    close = found(hashes, hashes, 3)
    assert {(row, row) for row in range(40)} <= close


def test_no_hashes() -> None:
    none = np.empty(0, np.uint64)
    assert found(none, none, 4) == set()
    assert found(random_hashes(3, 0), none, 4) == set()


@pytest.mark.parametrize("own", [True, False])
def test_bits_are_counted_with_and_without_numpy_2(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not own:
        monkeypatch.delattr(np, "bitwise_count", raising=False)
    values = np.array([0, 1, 2**64 - 1, 0xF0F0], np.uint64)
    np.testing.assert_array_equal(count_bits(values), [0, 1, 64, 8])
    assert count_bits(values).dtype == np.uint8


# --- windows ---


CROPS = [
    (0, 0, 1, 1),
    (0.05, 0.05, 0.95, 0.95),
    (0.1, 0.1, 0.9, 0.9),
    (0.1, 0, 1, 1),
    (0, 0, 1, 0.9),
    (0, 0.05, 0.9, 1),
]


def nearest(copy: np.ndarray, original: np.ndarray) -> int:
    outer, inner = hash_windows(copy[None], OUTER), hash_windows(original[None], INNER)
    return int(count_bits(outer[0][:, None] ^ inner[0]).min())


@pytest.mark.parametrize("crop", CROPS)
def test_some_pair_of_windows_shows_the_same_whatever_is_cropped(crop: tuple[float, float, float, float]) -> None:
    for seed in range(8):
        assert nearest(paint_thumbnail(seed, crop), paint_thumbnail(seed)) <= 6


def test_different_pictures_have_no_such_windows() -> None:
    assert min(nearest(paint_thumbnail(seed), paint_thumbnail(seed + 100)) for seed in range(8)) > 6


def test_windows_are_hashed_across_and_down() -> None:
    picture = paint_thumbnail(0)
    hashes = hash_windows(np.stack([picture, picture.T]), OUTER)
    assert hashes.shape == (2, 9)
    assert len(set(hashes[0])) == 9
    whole = paint_thumbnail(0, (0, 0, 0.945, 1))  # the sixth of nine windows, cut out of the picture itself
    lying = hash_windows(whole[None], ((0.0, 1.0),))[0, 0]
    distances = count_bits(hashes[0] ^ lying)
    assert distances.argmin() == 7
    assert distances.min() <= 2


def test_copies_are_alike_and_others_are_not() -> None:
    originals = np.stack([paint_thumbnail(seed) for seed in range(6)])
    for crop in CROPS:
        copies = np.stack([paint_thumbnail(seed, crop) for seed in range(6)])
        assert are_alike(copies, originals).all()
        assert not are_alike(copies, np.roll(originals, 1, axis=0)).any()


def test_brightness_and_contrast_do_not_count() -> None:
    picture = paint_thumbnail(2)
    changed = (picture * 0.6 + 60).astype(np.uint8)
    assert are_alike(changed[None], picture[None]).all()


def test_the_same_layout_with_other_details_is_not_alike() -> None:
    """Both are lit from above, so their gray values correlate; what is in the light differs."""
    generator = np.random.default_rng(0)
    layout = np.linspace(200, 40, 32)[:, None]
    pictures = (layout + generator.normal(0, 25, (2, 32, 32))).clip(0, 255).astype(np.uint8)
    smooth = [each.reshape(16, 2, 16, 2).mean((1, 3)).ravel() for each in pictures]
    assert np.corrcoef(*smooth)[0, 1] > 0.92
    assert not are_alike(pictures[:1], pictures[1:]).any()


def test_no_photos() -> None:
    none = np.empty((0, 32, 32), np.uint8)
    assert hash_windows(none, INNER).shape == (0, 9)
    assert are_alike(none, none).shape == (0,)


# --- groups ---


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


# --- what a split did with the groups ---


def describe(rows: list[tuple[str, str, str, int, str]]) -> dict:
    table = pd.DataFrame(rows, columns=["path", "label", "split", "group", "assigned"])
    return describe_groups(table, table["group"], table["assigned"])


def test_groups_and_what_became_of_them() -> None:
    assert describe(
        [
            ("c.jpg", "cats", "train", 0, ""),
            ("b.jpg", "cats", "test", 0, "test"),
            ("a.jpg", "dogs", "test", 0, "test"),
            ("z.jpg", "dogs", "train", 1, "train"),
            ("y.jpg", "dogs", "train", 1, "train"),
            ("x.jpg", "dogs", "train", 2, "train"),
        ]
    ) == {
        "num_photos": 6,
        "num_groups": 2,
        "num_grouped_photos": 5,
        "largest_group": 3,
        "groups_of_two_labels": 1,
        "groups_across_source_splits": 1,
        "groups_across_splits": 0,
        "left_out": ["c.jpg"],
        "groups": [["a.jpg", "b.jpg", "c.jpg"], ["y.jpg", "z.jpg"]],
    }


def test_a_group_in_two_splits_is_counted() -> None:
    told = describe([("a", "cats", "", 0, "train"), ("b", "cats", "", 0, "test"), ("c", "cats", "", 1, "test")])
    assert (told["groups_across_splits"], told["groups_across_source_splits"]) == (1, 0)


def test_nothing_is_alike() -> None:
    assert describe([("a", "cats", "", 0, "train"), ("b", "cats", "", 1, "test")]) == {
        "num_photos": 2,
        "num_groups": 0,
        "num_grouped_photos": 0,
        "largest_group": 0,
        "groups_of_two_labels": 0,
        "groups_across_source_splits": 0,
        "groups_across_splits": 0,
        "left_out": [],
        "groups": [],
    }


@pytest.mark.parametrize(
    ("num_grouped", "num_photos", "large"),
    [(19, 30, False), (20, 30, True), (99, 10_000, False), (100, 10_000, True), (0, 0, False)],
)
def test_which_groups_are_large(num_grouped: int, num_photos: int, large: bool) -> None:
    assert is_large(num_grouped, num_photos) == large
