from convlens.tracking.gate import (
    Criterion,
    markdown_table,
    show_number,
    tell_criterion,
    tell_demand,
    tell_outcome,
    tell_verdict,
    text_table,
)

PASSED = Criterion("evaluation.accuracy", 0.95, 0.8, None, True, "on 180 photos")
MISSED = Criterion("worst_slice", 0.5, None, 0.25, False, "source a|b <c> `d` [e](f)\n, 40 photos")
OPEN = Criterion("no_worse_than_champion", None, None, None, True, "there is no champion yet")


def test_table_for_a_terminal() -> None:
    assert text_table([PASSED, OPEN]) == [
        "criterion                value         demanded  verdict  measured",
        "evaluation.accuracy     0.9500  at least 0.8000  passed   on 180 photos",
        "no_worse_than_champion       –                –  passed   there is no champion yet",
    ]


def test_table_in_markdown_takes_no_mark_up_from_names() -> None:
    assert markdown_table([PASSED, MISSED]).splitlines() == [
        "| criterion | value | demanded | verdict | measured |",
        "|---|--:|--:|---|---|",
        "| evaluation.accuracy | 0.9500 | at least 0.8000 | passed | on 180 photos |",
        "| worst_slice | 0.5000 | at most 0.2500 | missed | source a\\|b &lt;c> \\`d\\` \\[e](f) , 40 photos |",
    ]


def test_lines_for_the_tags_of_a_version() -> None:
    assert tell_criterion(PASSED) == "evaluation.accuracy passed, 0.9500 (at least 0.8000)"
    assert tell_criterion(OPEN) == "no_worse_than_champion passed"
    assert tell_criterion(Criterion("a", 0.5, None, None, False, "of 2")) == "a missed, 0.5000"
    assert tell_verdict([PASSED, OPEN]) == "passed"
    assert tell_verdict([PASSED, MISSED]) == "missed: worst_slice"


def test_demands_and_numbers() -> None:
    assert tell_demand(Criterion("a", 0.5, 0.25, 0.75, True, "")) == "0.2500 to 0.7500"
    assert tell_demand(OPEN) == ""
    assert show_number(961489) == "961,489"


def test_outcome() -> None:
    assert tell_outcome([PASSED, OPEN]) == "All 2 criteria are met."
    assert tell_outcome([PASSED, MISSED]) == "1 of 2 criteria is missed."
    assert tell_outcome([MISSED, MISSED]) == "2 of 2 criteria are missed."
