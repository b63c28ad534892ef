"""The recipe of the synthetic data set: its defaults, and the errors of wrong values."""

import json

import pytest
from pydantic import ValidationError

from convlens.data.synthetic.recipe import Faults, SyntheticRecipe, file_name, list_photos


def test_defaults():
    recipe = SyntheticRecipe()
    assert recipe.model_dump() == {
        "num_photos": 1200,
        "image_size": 160,
        "seed": 0,
        "classes": ("cats", "dogs"),
        "tongue_probability": {},
        "shape_tells": True,
        "horizontal_position": {},
        "head_size": (0.34, 0.64),
        "clutter": 0.7,
        "occlusion_probability": 0.45,
        "noise": 0.5,
        "between": 0.0,
        "faults": dict.fromkeys(
            ("unreadable", "wrong_labels", "dark", "blurred", "two_labels", "copies", "near_copies"), 0
        ),
    }


def test_every_field_is_described():
    fields = {**SyntheticRecipe.model_fields, **Faults.model_fields}
    missing = [name for name, field in fields.items() if not field.description]
    assert missing == []


def test_plain_values_of_yaml_and_json_are_taken():
    values = {"classes": ["dogs", "cats"], "head_size": [0.3, 0.5], "horizontal_position": {"cats": [0, 0.4]}}
    recipe = SyntheticRecipe.model_validate(values)
    assert recipe == SyntheticRecipe.model_validate_json(json.dumps(values))
    assert recipe.classes == ("dogs", "cats")
    assert recipe.horizontal_position == {"cats": (0.0, 0.4)}


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        SyntheticRecipe().seed = 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": ("cats", "horses")}, r"Expected each of \('cats', 'dogs'\) at most once\. Received: .*horses"),
        ({"classes": ("cats", "cats")}, "at most once"),
        ({"classes": ()}, "at least 1 item"),
        ({"num_photos": 0}, "greater than or equal to 1"),
        ({"num_photos": 1}, "Expected num_photos >= 2, one per class. Received: 1"),
        ({"num_photos": "12"}, "valid integer"),
        ({"image_size": 16}, "greater than or equal to 32"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"tongue_probability": {"cats": 1.5}}, "less than or equal to 1"),
        ({"tongue_probability": {"birds": 1.0}}, r"Expected one of .* Received: 'birds'"),
        ({"horizontal_position": {"cats": (0.8, 0.2)}}, r"low <= high. Received: \(0.8, 0.2\)"),
        ({"horizontal_position": {"cats": (0.0, 1.2)}}, "less than or equal to 1"),
        ({"head_size": (0.1, 0.5)}, r"Expected a head size from 0.15 to 0.7. Received: \(0.1, 0.5\)"),
        ({"head_size": (0.5, 0.4)}, "low <= high"),
        ({"clutter": -0.1}, "greater than or equal to 0"),
        ({"between": 1.1}, "less than or equal to 1"),
        (
            {"num_photos": 4, "faults": {"dark": 3, "copies": 2}},
            "Expected at most 4 faults, one per photo. Received: 5",
        ),
        ({"classes": ("cats",), "faults": {"two_labels": 1}}, "Expected two classes for photos with a wrong label"),
        ({"faults": {"ugly": 1}}, "Extra inputs are not permitted"),
        ({"color": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_values_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        SyntheticRecipe.model_validate(values)


def test_photos_are_split_evenly():
    assert list_photos(SyntheticRecipe(num_photos=5)) == [
        ("cats", 0),
        ("cats", 1),
        ("cats", 2),
        ("dogs", 0),
        ("dogs", 1),
    ]
    assert list_photos(SyntheticRecipe(num_photos=2, classes=("dogs",))) == [("dogs", 0), ("dogs", 1)]


def test_file_names():
    assert file_name("cats", 17) == "cats/cat-00017.jpg"
    assert file_name("dogs", 0) == "dogs/dog-00000.jpg"
