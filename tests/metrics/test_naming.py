import pytest

from convlens.wording import class_keys


@pytest.mark.parametrize(
    ("classes", "keys"),
    [
        (("cats", "dogs"), ("cats", "dogs")),
        (("maine coon", "Shih-Tzu", "a/b.c"), ("maine_coon", "Shih_Tzu", "a_b_c")),
        (("猫", "犬"), ("猫", "犬")),
        (("a b", "a_b", "a-b"), ("a_b", "a_b_2", "a_b_3")),
        (("x_3", "x", "x!"), ("x_3", "x", "x_3_3")),
        (("!", "?"), ("class_1", "class_2")),
    ],
)
def test_classes_become_parts_of_metric_names(classes: tuple[str, ...], keys: tuple[str, ...]) -> None:
    found = class_keys(classes)
    assert len(set(found)) == len(classes)
    assert found == keys
