"""What is wrong with the synthetic photos on purpose: as many as the card says, and the checks find all that they can.

The files are those of the shipped card, but only the faulty ones and their originals are painted.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convlens.data.cards import SyntheticCard, read_card
from convlens.data.duplicates import group_duplicates
from convlens.data.sources import describe_photos, list_folder
from convlens.data.synthetic.faults import PlannedFile, paint_file, plan_files
from convlens.data.synthetic.recipe import Faults, SyntheticRecipe, file_name, list_photos
from convlens.data.validation import scan_photos
from convlens.params import load_params

CARD = Path(__file__).parents[3] / "data/cards/synthetic.yaml"
FAULTS = Faults(unreadable=1, wrong_labels=2, dark=1, blurred=1, two_labels=1, copies=2, near_copies=4)
SMALL = SyntheticRecipe(num_photos=30, image_size=64, faults=FAULTS)


@pytest.fixture(scope="module")
def recipe() -> SyntheticRecipe:
    card = read_card(CARD)
    assert isinstance(card, SyntheticCard)
    return card.recipe


@pytest.fixture(scope="module")
def manifest(recipe: SyntheticRecipe, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What stage `validate` says of the faulty files and their originals, with their fault and their original."""
    folder = tmp_path_factory.mktemp("photos")
    plans = plan_files(recipe)
    wanted = {plan.original for plan in plans} | {plan.name for plan in plans if plan.fault}
    chosen = {str(folder / plan.name): plan for plan in plans if plan.name in wanted}
    for path, plan in chosen.items():
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(paint_file(recipe, plan).content)
    table = scan_photos(describe_photos(list_folder(folder), {}), load_params().validate_, num_workers=1)
    plans = [chosen[path] for path in table["path"]]
    originals = [str(folder / plan.original) if plan.original else "" for plan in plans]
    return table.assign(fault=[plan.fault for plan in plans], original=originals)


def test_the_card_is_obeyed(recipe: SyntheticRecipe) -> None:
    plans = plan_files(recipe)
    assert Counter(plan.fault for plan in plans if plan.fault) == recipe.faults.model_dump()
    assert len({plan.name for plan in plans}) == len(plans)
    added = recipe.faults.two_labels + recipe.faults.copies + recipe.faults.near_copies
    assert len(plans) == recipe.num_photos + added
    clean = [plan for plan in plans if not plan.fault]
    assert all(plan == PlannedFile(file_name(*plan.key), plan.key[0], plan.key) for plan in clean)


def test_one_photo_has_one_fault() -> None:
    plans = plan_files(SMALL)
    touched = [plan.original or plan.name for plan in plans if plan.fault]
    assert len(set(touched)) == len(touched) == sum(FAULTS.model_dump().values())


def test_without_faults_the_files_are_the_photos() -> None:
    recipe = SyntheticRecipe(num_photos=6)
    assert [plan.key for plan in plan_files(recipe)] == list_photos(recipe)


def test_a_wrong_label_shows_the_other_class() -> None:
    for plan in plan_files(SMALL):
        given = plan.name.split("/")[0]
        assert (given != plan.label) == (plan.fault in ("wrong_labels", "two_labels")), plan


def test_what_does_not_decode_is_left_out(manifest: pd.DataFrame, recipe: SyntheticRecipe) -> None:
    found = manifest[manifest["cause"] == "unreadable"]
    assert list(found["fault"]) == ["unreadable"] * recipe.faults.unreadable


def test_one_of_several_copies_stays(manifest: pd.DataFrame, recipe: SyntheticRecipe) -> None:
    copies = manifest[manifest["fault"] == "copies"]
    pairs = manifest[manifest["path"].isin([*copies["path"], *copies["original"]])]
    assert len(copies) == recipe.faults.copies
    assert (pairs["cause"] == "duplicate").sum() == (pairs["cause"] == "").sum() == len(copies)
    assert (manifest["cause"] == "duplicate").sum() == len(copies)


def test_a_photo_under_two_labels_is_left_out_twice(manifest: pd.DataFrame, recipe: SyntheticRecipe) -> None:
    conflicts = manifest[manifest["cause"] == "two_labels"]
    assert len(conflicts) == 2 * recipe.faults.two_labels
    assert set(conflicts["path"]) == set(
        manifest.loc[manifest["fault"] == "two_labels", ["path", "original"]].to_numpy().ravel()
    )


def test_dark_and_blurred_photos_are_flagged_and_used(manifest: pd.DataFrame) -> None:
    limits = load_params().validate_
    dark, blurred = (manifest[manifest["fault"] == fault] for fault in ("dark", "blurred"))
    assert (dark["brightness"] < limits.dark_brightness).all()
    assert (blurred["sharpness"] < limits.blurred_sharpness).all()
    assert dark["usable"].all()
    assert blurred["usable"].all()


def test_near_copies_are_one_group_with_their_original_and_with_nothing_else(manifest: pd.DataFrame) -> None:
    usable = manifest[manifest["usable"]].set_index("path")
    groups = group_duplicates(usable, load_params().preprocess)
    near = usable[usable["fault"] == "near_copies"]
    assert len(near) > 0
    assert list(groups[near.index]) == list(groups[near["original"]])
    assert groups.nunique() == len(usable) - len(near)


def test_boxes_of_a_near_copy_fit_its_pixels() -> None:
    plans = {plan.name: plan for plan in plan_files(SMALL)}
    for plan in plans.values():
        if plan.fault == "near_copies":
            copy, original = paint_file(SMALL, plan), paint_file(SMALL, plans[plan.original])
            for name, box in copy.regions.items():
                sides = np.array([box.left, box.top, box.right, box.bottom])
                assert (sides >= 0).all()
                assert (sides <= 64).all()
                other = original.regions[name]
                ratio = (box.right - box.left) / (other.right - other.left)
                assert 0.6 <= ratio <= 1.0
