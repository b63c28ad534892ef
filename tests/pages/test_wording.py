import pytest

from convlens.wording import join_words, shorten, show_bytes, show_count, show_number, show_share


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
