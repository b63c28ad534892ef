from convlens.tracking.gate import (
    Contest,
    all_passed,
    from_plain,
    judge_accuracy,
    judge_contest,
    tell,
    to_plain,
    unopposed,
)


def test_accuracy_at_the_minimum_passes() -> None:
    assert judge_accuracy(0.8, 0.8, 10).passed
    assert not judge_accuracy(0.799, 0.8, 10).passed


def test_equal_to_the_champion_passes() -> None:
    assert judge_contest(Contest(10, 0.9, 0.9, "stored answers")).passed
    assert not judge_contest(Contest(10, 0.8, 0.9, "stored answers")).passed


def test_no_photos_do_not_pass() -> None:
    assert not judge_contest(Contest(0, 0.0, 0.0, "nothing to compare")).passed


def test_criteria_survive_json() -> None:
    criteria = [judge_accuracy(0.5, 0.8, 10), unopposed("first")]
    assert from_plain(to_plain(criteria)) == criteria
    assert not all_passed(criteria)


def test_criteria_are_told_with_their_numbers() -> None:
    assert (
        tell(judge_accuracy(0.5, 0.8, 1000)) == "test_accuracy 0.5000 (at least 0.8000): missed, on 1,000 test photos"
    )
    assert tell(unopposed("there is no champion yet")) == "no_worse_than_champion: passed, there is no champion yet"
