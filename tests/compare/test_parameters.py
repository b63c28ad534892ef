from convlens.params import ParameterRow, list_differences


def test_only_what_differs_is_listed_in_the_order_of_the_last() -> None:
    old = {"train": {"epochs": 30, "rate": 0.1, "gone": True}, "data": {"source": "pets"}}
    new = {"data": {"source": "cars"}, "train": {"epochs": 30, "rate": 0.2}, "model": {"sizes": [{"until": 1.0}]}}
    assert list_differences([old, new]) == (
        ParameterRow("data.source", ("pets", "cars")),
        ParameterRow("train.rate", ("0.1", "0.2")),
        ParameterRow("model.sizes", ("–", '[{"until": 1.0}]')),
        ParameterRow("train.gone", ("true", "–")),
    )


def test_one_of_many_is_enough_to_differ() -> None:
    sets = [{"seed": seed} for seed in (0, 0, 1)]
    assert list_differences(sets) == (ParameterRow("seed", ("0", "0", "1")),)


def test_equal_sets_have_no_differences() -> None:
    assert list_differences([{"a": {"b": None}}, {"a": {"b": None}}]) == ()
