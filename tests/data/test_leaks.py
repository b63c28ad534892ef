import pandas as pd
import pytest

from convlens.data.duplicates import describe_groups, is_large


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
