"""The split when photos belong together."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from photo_files import make_group

from convlens.data.split import LEFT_OUT, SPLITS, split_photos
from convlens.errors import ConvLensError
from convlens.params import PreprocessParams


def params(**changes: Any) -> PreprocessParams:
    group: PreprocessParams = make_group(
        "preprocess", **{"validation_fraction": 0.2, "test_fraction": 0.1, "seed": 0, **changes}
    )
    return group


def make_photos(rows: list[tuple[str, str, int]]) -> pd.DataFrame:
    """Photos from (label, source's split, group); the column `group` is given along."""
    return pd.DataFrame(
        [
            {
                "path": f"{label}/{number:04d}.jpg",
                "label": label,
                "split": split,
                "sha256": hashlib.sha256(f"{label}{number}{group}".encode()).hexdigest(),
                "group": group,
            }
            for number, (label, split, group) in enumerate(rows)
        ]
    )


def random_photos(seed: int, num_groups: int = 150, largest: int = 4) -> pd.DataFrame:
    """Two classes in groups of one to four."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, largest + 1, num_groups)
    labels = generator.choice(["cats", "dogs"], num_groups)
    return make_photos([(labels[group], "", group) for group in range(num_groups) for _ in range(sizes[group])])


def assign(photos: pd.DataFrame, **changes: Any) -> pd.Series:
    return split_photos(photos, params(**changes), groups=photos["group"])


def spans(photos: pd.DataFrame, splits: pd.Series) -> int:
    used = splits != LEFT_OUT
    return int((splits[used].groupby(photos.loc[used, "group"]).nunique() > 1).sum())


@pytest.mark.parametrize("seed", range(8))
def test_no_group_is_in_two_splits_and_the_classes_stay_balanced(seed: int) -> None:
    photos = random_photos(seed)
    splits = assign(photos, seed=seed)
    assert spans(photos, splits) == 0
    assert set(splits) == set(SPLITS)
    for _, rows in photos.groupby("label"):
        shares = splits[rows.index].value_counts()
        assert shares["test"] == round(0.1 * len(rows))
        assert shares["validation"] == round(0.2 * len(rows))


def test_photos_of_their_own_are_split_as_without_groups() -> None:
    photos = make_photos([(label, "", number) for number in range(90) for label in ("cats", "dogs")])
    alone = photos.assign(group=range(180))
    pd.testing.assert_series_equal(assign(alone), split_photos(photos, params()))


@pytest.mark.parametrize("seed", range(3))
def test_the_split_does_not_depend_on_order_or_numbers(seed: int) -> None:
    photos = random_photos(seed)
    other = photos.sample(frac=1, random_state=seed)
    renumbered = other.assign(group=other["group"].map(lambda group: (group * 7919) % 100_003))
    pd.testing.assert_series_equal(assign(renumbered).sort_index(), assign(photos))


def test_more_photos_move_only_a_few_groups() -> None:
    photos = random_photos(1, num_groups=400)
    more = random_photos(2, num_groups=8).assign(group=lambda table: table["group"] + 1000)
    both = pd.concat([photos, more.assign(path="new/" + more["path"])], ignore_index=True)
    before, after = assign(photos), assign(both)[: len(photos)]
    assert (before != after).mean() < 0.03
    assert spans(both, assign(both)) == 0


def test_another_copy_goes_where_its_group_is_and_moves_few() -> None:
    photos = random_photos(3, num_groups=200)
    copies = photos.iloc[::40].assign(
        path=lambda table: "copy/" + table["path"], sha256=lambda table: "f" + table["sha256"]
    )
    both = pd.concat([photos, copies], ignore_index=True)
    before, after = assign(photos), assign(both)
    assert spans(both, after) == 0
    assert (before != after[: len(photos)]).mean() < 0.06


def test_a_group_too_large_for_the_held_out_splits_is_for_training() -> None:
    rows = [("cats", "", 0)] * 40 + [("cats", "", number) for number in range(1, 61)]
    rows += [("dogs", "", number) for number in range(100, 150)]
    photos = make_photos(rows)
    for seed in range(4):
        splits = assign(photos, seed=seed)
        assert set(splits[:40]) == {"train"}
        assert splits[photos["label"] == "cats"].value_counts().to_dict() == {"train": 70, "validation": 20, "test": 10}


def test_a_class_of_few_large_groups_still_is_in_every_split() -> None:
    sizes = {0: 30, 1: 12, 2: 11}  # none fits into 5 or 11 photos, or only one
    rows = [("cats", "", group) for group, size in sizes.items() for _ in range(size)]
    photos = make_photos(rows + [("dogs", "", number) for number in range(100, 130)])
    splits = assign(photos)
    found = {group: set(splits[photos["group"] == group]) for group in sizes}
    assert all(len(each) == 1 for each in found.values())
    assert set.union(*found.values()) == set(SPLITS)
    assert found[0] == {"train"}


def test_a_class_that_is_one_group_is_told() -> None:
    photos = make_photos([("cats", "", 0)] * 30 + [("dogs", "", number) for number in range(1, 31)])
    with pytest.raises(ConvLensError, match=r"none of cats\. .*preprocess\.near_duplicates"):
        assign(photos)


def test_a_group_with_two_labels_stays_together() -> None:
    rows = [(label, "", number // 2) for number, label in enumerate(["cats", "dogs"] * 40)]
    rows += [(label, "", 1000 + number) for number, label in enumerate(["cats", "dogs"] * 40)]
    photos = make_photos(rows)
    splits = assign(photos)
    assert spans(photos, splits) == 0
    assert set(splits) == set(SPLITS)


class TestOwnSplit:
    """A source with splits of its own, groups across them."""

    def singles(self, split: str, first: int) -> list[tuple[str, str, int]]:
        return [
            (label, split, first + 2 * number + (label == "dogs")) for number in range(20) for label in ("cats", "dogs")
        ]

    def test_copies_of_test_photos_are_left_out_of_the_others(self) -> None:
        own = self.singles("train", 100) + self.singles("validation", 200) + self.singles("test", 300)
        copies = [
            *[("cats", "train", 1), ("cats", "validation", 1), ("cats", "test", 1), ("cats", "test", 1)],
            *[("dogs", "train", 2), ("dogs", "validation", 2)],
            *[("dogs", "train", 3), ("dogs", "train", 3)],
        ]
        photos = make_photos(own + copies)
        splits = assign(photos)
        assert splits[-8:].tolist() == ["", "", "test", "test", "", "validation", "train", "train"]
        pd.testing.assert_series_equal(splits[:-8], photos["split"][:-8], check_names=False)
        assert spans(photos, splits) == 0

    @pytest.mark.parametrize("kept", ["validation", "test"])
    def test_the_split_that_is_missing_is_drawn_in_groups(self, kept: str) -> None:
        rows = [
            (label, "train", 2 * (number // 3) + (label == "dogs"))
            for number in range(60)
            for label in ("cats", "dogs")
        ]
        rows += [
            (label, kept, 500 + 2 * (number // 3) + (label == "dogs"))
            for number in range(60)
            for label in ("cats", "dogs")
        ]
        rows += [("cats", "train", 500), ("dogs", "train", 501)]
        photos = make_photos(rows)
        splits = assign(photos)
        assert splits[-2:].tolist() == ["", ""]
        assert set(splits[:-2]) == set(SPLITS)
        assert spans(photos, splits) == 0

    def test_a_free_photo_goes_with_its_group(self) -> None:
        own = self.singles("train", 100) + self.singles("validation", 200) + self.singles("test", 300)
        photos = make_photos([*own, ("cats", "", 300), ("cats", "", 100)])
        assert assign(photos)[-2:].tolist() == ["test", "train"]

    def test_nothing_but_training_leaves_nothing_out(self) -> None:
        photos = random_photos(5).assign(split="train")
        splits = assign(photos)
        pd.testing.assert_series_equal(splits, assign(photos.assign(split="")))
        assert LEFT_OUT not in set(splits)
