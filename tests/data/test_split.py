import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest
from photo_files import make_group

from convlens.data.split import SPLITS, deal_folds, split_photos
from convlens.errors import ConvLensError
from convlens.params import PreprocessParams


def params(**changes: object) -> PreprocessParams:
    group: PreprocessParams = make_group(
        "preprocess", **{"validation_fraction": 0.2, "test_fraction": 0.1, "seed": 0, **changes}
    )
    return group


def make_photos(classes: dict[str, int], split: str = "", prefix: str = "") -> pd.DataFrame:
    rows = [
        {
            "path": f"photos/{split}/{label}/{prefix}{index}.jpg",
            "label": label,
            "split": split,
            "sha256": hashlib.sha256(f"{split}{label}{prefix}{index}".encode()).hexdigest(),
        }
        for label, count in classes.items()
        for index in range(count)
    ]
    return pd.DataFrame(rows, columns=["path", "label", "split", "sha256"])


def join(*tables: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


def count(photos: pd.DataFrame, splits: pd.Series) -> dict[str, dict[str, int]]:
    return {split: photos.loc[splits == split, "label"].value_counts().sort_index().to_dict() for split in SPLITS}


def moved(first: pd.DataFrame, second: pd.DataFrame, setting: PreprocessParams) -> float:
    """The share of photos of both tables that change their split."""
    before = split_photos(first, setting).set_axis(first["sha256"])
    after = split_photos(second, setting).set_axis(second["sha256"])
    common = before.index.intersection(after.index)
    return float((before[common] != after[common]).mean())


def test_every_class_is_divided_by_the_fractions() -> None:
    photos = make_photos({"cats": 100, "dogs": 50})
    splits = split_photos(photos, params())
    assert count(photos, splits) == {
        "train": {"cats": 70, "dogs": 35},
        "validation": {"cats": 20, "dogs": 10},
        "test": {"cats": 10, "dogs": 5},
    }
    assert splits.index.equals(photos.index)


def test_the_split_follows_the_seed_alone() -> None:
    photos = make_photos({"cats": 60, "dogs": 60})
    pd.testing.assert_series_equal(split_photos(photos, params()), split_photos(photos, params()))
    assert not split_photos(photos, params()).equals(split_photos(photos, params(seed=1)))


def test_the_split_does_not_depend_on_order_names_or_other_columns() -> None:
    photos = make_photos({"cats": 60, "dogs": 60})
    shuffled = photos.sample(frac=1, random_state=3)
    renamed = photos.assign(path=[f"elsewhere/{119 - row}.png" for row in range(120)], brightness=0.5)
    for other in (shuffled, shuffled.reset_index(drop=True), renamed):
        assert moved(photos, other, params()) == 0


def test_a_few_more_photos_move_only_a_few() -> None:
    photos = make_photos({"cats": 400, "dogs": 400})
    more = join(photos, make_photos({"cats": 8, "dogs": 8}, prefix="new"))
    assert moved(photos, more, params()) < 0.03


def test_the_input_is_left_alone() -> None:
    photos = make_photos({"cats": 20, "dogs": 20})
    before = photos.copy()
    split_photos(photos, params())
    pd.testing.assert_frame_equal(photos, before)


def test_exact_copies_end_up_side_by_side() -> None:
    """Copies stand together in the order, so a boundary parts at most one group of each class."""
    photos = make_photos({"cats": 60, "dogs": 60})
    copies = photos.assign(path=photos["path"] + ".copy")
    both = join(photos, copies)
    splits = split_photos(both, params())
    parted = (splits[:120].to_numpy() != splits[120:].to_numpy()).sum()
    assert parted <= 4


def test_the_smallest_classes_that_can_be_divided() -> None:
    photos = make_photos({"cats": 3, "dogs": 40})
    assert count(photos, split_photos(photos, params()))["test"] == {"cats": 1, "dogs": 4}
    for few in (1, 2):
        with pytest.raises(
            ConvLensError, match=r"Expected photos of every class in the .* split\. Received: none of cats"
        ):
            split_photos(make_photos({"cats": few, "dogs": 40}), params())


def test_an_own_split_is_kept() -> None:
    photos = join(*(make_photos({"cats": 20, "dogs": 20}, split) for split in SPLITS))
    pd.testing.assert_series_equal(split_photos(photos, params()), photos["split"])


def test_validation_alone_is_divided_into_validation_and_test() -> None:
    photos = join(make_photos({"cats": 50, "dogs": 50}, "train"), make_photos({"cats": 30, "dogs": 30}, "validation"))
    splits = split_photos(photos, params())
    assert count(photos, splits) == {
        "train": {"cats": 50, "dogs": 50},
        "validation": {"cats": 20, "dogs": 20},  # 0.2 to 0.1
        "test": {"cats": 10, "dogs": 10},
    }
    assert (splits[photos["split"] == "train"] == "train").all()


def test_without_validation_some_of_training_is_taken() -> None:
    photos = join(make_photos({"cats": 50, "dogs": 50}, "train"), make_photos({"cats": 30, "dogs": 30}, "test"))
    splits = split_photos(photos, params())
    assert count(photos, splits) == {
        "train": {"cats": 40, "dogs": 40},
        "validation": {"cats": 10, "dogs": 10},
        "test": {"cats": 30, "dogs": 30},
    }
    assert (splits[photos["split"] == "test"] == "test").all()


def test_training_alone_counts_as_no_split() -> None:
    inside, outside = make_photos({"cats": 50, "dogs": 50}, "train"), make_photos({"cats": 50, "dogs": 50}, "train")
    splits = split_photos(inside, params())
    assert {split: sum(values.values()) for split, values in count(inside, splits).items()} == {
        "train": 70,
        "validation": 20,
        "test": 10,
    }
    pd.testing.assert_series_equal(splits, split_photos(outside.assign(split=""), params()))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([("test", {"cats": 9, "dogs": 9})], "the train split. Received: none of cats, dogs"),
        ([("train", {"cats": 9, "dogs": 9}), ("test", {"cats": 9})], "the test split. Received: none of dogs"),
        ([("train", {"cats": 9, "dogs": 9}), ("validation", {"cats": 9, "dogs": 1})], "none of dogs"),
        ([("train", {"cats": 9}), ("validation", {"cats": 9, "dogs": 9})], "the train split. Received: none of dogs"),
    ],
)
def test_a_class_without_photos_in_a_split_is_told(parts: Iterable[tuple[str, dict]], words: str) -> None:
    photos = join(*(make_photos(classes, split) for split, classes in parts))
    with pytest.raises(ConvLensError, match=words):
        split_photos(photos, params())


def test_any_fractions_and_sizes_give_every_photo_one_split() -> None:
    generator = np.random.default_rng(0)
    for _ in range(15):
        validation, test = generator.uniform(0.02, 0.49, 2)
        photos = make_photos({label: int(generator.integers(30, 80)) for label in "abc"})
        setting = params(validation_fraction=validation, test_fraction=test, seed=int(generator.integers(99)))
        splits = split_photos(photos, setting)
        assert set(splits) == set(SPLITS)
        shares = splits.value_counts(normalize=True)
        assert abs(shares["test"] - test) < 0.03
        assert abs(shares["validation"] - validation) < 0.03


def test_no_photos_at_all() -> None:
    with pytest.raises(ConvLensError, match="Expected"):
        split_photos(make_photos({}), params())


# --- folds ---


LABELS = np.repeat([0, 1], [30, 13])
GROUPS = np.array([0, 0, 0, *range(3, 43)])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_classes_are_dealt_evenly_and_groups_stay_together(count: int) -> None:
    folds = deal_folds(LABELS, GROUPS, count=count, seed=0)
    assert folds[0] == folds[1] == folds[2]
    assert set(folds) == set(range(count))
    for label in (0, 1):
        alone = (label == LABELS) & (np.arange(len(LABELS)) > 2)
        sizes = np.bincount(folds[alone], minlength=count)
        assert sizes.max() - sizes.min() <= 2


def test_the_seed_decides() -> None:
    first, again, other = (deal_folds(LABELS, GROUPS, count=4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
