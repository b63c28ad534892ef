import pytest

from convlens.wording import (
    join_words,
    shorten,
    show_bytes,
    show_count,
    show_interval,
    show_metric,
    show_number,
    show_range,
    show_share,
    show_share_of,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.975, "97.5 %"), (1.0, "100 %"), (0.0, "0 %"), (0.99996, "> 99.9 %"), (0.0001, "< 0.1 %"), (None, "undefined")],
)
def test_shares_never_round_to_all_or_none(value: float | None, shown: str) -> None:
    assert show_share(value).replace("\N{NO-BREAK SPACE}", " ") == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "0.123"), (1.0, "1.000"), (0.9998, "> 0.999"), (0.0002, "< 0.001"), (0.0, "0.000"), (None, "undefined")],
)
def test_scores_never_round_to_perfect(value: float | None, shown: str) -> None:
    assert show_number(value) == shown


def test_counts_sizes_and_lists_read_well() -> None:
    assert [show_count(1, "photo"), show_count(1200, "photo")] == ["1 photo", "1,200 photos"]
    assert [show_bytes(12), show_bytes(12_300), show_bytes(3.4e9)] == ["12 bytes", "12.3 kB", "3.4 GB"]
    assert [join_words(["a"]), join_words(["a", "b", "c"]), join_words([])] == ["a", "a, b and c", ""]
    assert shorten("a long name", 7) == "a long…"


def test_intervals_are_told_where_there_are_some() -> None:
    metrics = {"accuracy": 0.93, "accuracy_low": 0.897, "accuracy_high": 0.953, "brier": 0.5, "macro_f1": None}
    plain = [text.replace("\N{NO-BREAK SPACE}", " ") for text in (
        *show_metric(metrics, "accuracy"), *show_metric(metrics, "brier"), *show_metric(metrics, "macro_f1"),
        show_share_of(metrics, "accuracy", 0), show_share_of({"x": float("nan")}, "x"), show_interval(0.1, 0.2),
        show_interval(None, None), show_range(float("nan"), 1.0), show_range(0.25, 0.5, show_number),
    )]  # fmt: skip
    assert plain == [
        "93.0 %", "89.7 % to 95.3 %", "0.500", "", "undefined", "",
        "93 % (90 % to 95 %)", "undefined", " (interval 10.0 % to 20.0 %)",
        "", "", "0.250 to 0.500",
    ]  # fmt: skip
