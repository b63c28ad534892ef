from dataclasses import replace

import pandas as pd
import pytest
from compared_runs import COMPARE, EVALUATE, good, make_answers, make_photos, make_run

from convlens.comparison.compare import RunsCompared, compare_runs
from convlens.comparison.describe import Section, describe
from convlens.comparison.markdown import render_markdown
from convlens.comparison.snapshot import Snapshot
from convlens.comparison.text import render_text

BASE = make_run("HEAD", good(95, 5), commit="1b9b83e" + "0" * 33)
WORSE = make_run(
    "now", good(80, 20), params={"train": {"epochs": 9}}, outdated=("train.epochs",), seconds=None, card={}
)
BETTER = make_run("up_1", good(100, 0), seconds=9.4)


def compared(*runs: Snapshot) -> RunsCompared:
    return compare_runs(runs, evaluate=EVALUATE, compare=COMPARE)


def sections(*runs: Snapshot) -> tuple[Section, ...]:
    return describe(compared(*runs))


def told(*runs: Snapshot) -> str:
    """The sentences of the first section, without non-breaking spaces."""
    return "\n".join(sections(*runs)[0].sentences).replace("\N{NO-BREAK SPACE}", " ")


def row(section: Section, name: str) -> tuple[str, ...]:
    (found,) = (cells[1:] for cells in section.rows if cells[0] == name)
    return tuple(cell.replace("\N{NO-BREAK SPACE}", " ") for cell in found)


def test_a_regression_is_said() -> None:
    assert told(BASE, WORSE) == (
        "now: params.yaml has changed since its results were made (train.epochs). "
        "The numbers are those of the old values until `dvc repro` has run.\n"
        "now: worse than HEAD on the same 100 test photos. Accuracy 80.0 % instead of 95.0 %: "
        "-15.0 points (-24.9 to -9.0, 95 % paired interval). "
        "0 photos answered right by now alone, 15 by HEAD alone (McNemar's exact test, p < 0.001).\n"
        "now: REGRESSION. The loss is more than what is tolerated (2.0 points, compare.max_regression)."
    )
    assert compared(BASE, WORSE).has_regression
    assert not compared(BASE, BETTER).has_regression
    assert compared(BASE, BETTER, WORSE).has_regression


def test_no_difference_is_said() -> None:
    assert told(BASE, make_run("again", good(96, 4))).startswith(
        "again: no difference from HEAD that 100 test photos can show. Accuracy 96.0 % instead of 95.0 %: +1.0 points ("
    )


def test_other_test_photos_are_said() -> None:
    head = make_run("more", good(200, 0))
    assert told(BASE, head).splitlines()[-1] == (
        "The test splits differ: HEAD has 100 photos, more 200. The sentence above is about the 100 that both have; "
        "the table of metrics is about each run's own."
    )


def test_other_training_photos_are_said() -> None:
    more = [make_photos([f"t{index}.png" for index in range(count)], ["cats"] * count) for count in (3, 5)]
    runs = [
        replace(run, photos=pd.concat([run.photos, photos.assign(split="train")]))
        for run, photos in zip((BASE, BETTER), more, strict=True)
    ]
    assert told(*runs).splitlines()[1:] == [
        "They learned from other photos: HEAD from 3 photos, up_1 from 5 photos, 3 shared."
    ]
    assert len(told(runs[0], runs[0]).splitlines()) == 1


def test_why_there_is_no_verdict_is_said() -> None:
    head = make_run("lost", good(4, 0), predictions=None)
    assert told(BASE, head).startswith("lost: no verdict. The answers of lost to the single test photos are not in")
    metrics = sections(BASE, head)[2]
    assert metrics.head == ("", "HEAD", "lost")
    assert row(metrics, "photos") == ("100", "4")


def test_two_runs_have_paired_differences() -> None:
    title, parameters, metrics, cost = sections(BASE, WORSE)
    assert title.title == "now against HEAD (1b9b83e)"
    assert (parameters.head, parameters.rows) == (("", "HEAD", "now"), (("train.epochs", "3", "9"),))
    assert metrics.head == ("", "HEAD", "now", "paired difference")
    assert row(metrics, "accuracy") == (
        "95.0 % (90.0 % to 100 %)",
        "80.0 % (75.0 % to 85.0 %)",
        "-15.0 points (-24.9 to -9.0)",
    )
    assert row(metrics, "ROC AUC")[:2] == ("undefined", "undefined")
    assert cost.rows == (
        ("epochs", "3", "3"),
        ("training time", "1 min 35 s", "unknown"),
        ("parameters", "12,345", "unknown"),
        ("size of the model", "2.5 MB", "2.5 MB"),
    )


def test_many_runs_stand_in_one_table_against_the_first() -> None:
    title, parameters, metrics, cost = sections(BASE, WORSE, BETTER)
    assert title.title == "now, up_1 against HEAD (1b9b83e)"
    assert title.sentences[-1].startswith("The best of many runs looks better than it is")
    assert parameters.rows == (("train.epochs", "3", "9", "3"),)
    assert metrics.head == ("", "HEAD", "now", "up_1")
    against = row(metrics, "against HEAD")
    assert [cell.split(" points")[0] for cell in against] == ["", "worse: -15.0", "no difference: +5.0"]
    assert row(cost, "training time") == ("1 min 35 s", "unknown", "9 s")


def test_equal_parameters_are_said() -> None:
    assert sections(BASE, BETTER)[1] == Section("Parameters", sentences=("All are the same.",))


SECTIONS = (
    Section("b_1 against a", sentences=("b_1: `dvc exp apply b_1` is " + "better " * 15 + "<now>.",)),
    Section("Numbers", ("", "a", "b_1"), (("accuracy", "95 %", "100.0 %"), ("x|y", "", "1"))),
)


def test_text_has_columns_and_folded_sentences() -> None:
    assert render_text(SECTIONS) == (
        "b_1 against a\n"
        "  b_1: `dvc exp apply b_1` is better better better better better better better better better better\n"
        "    better better better better better <now>.\n"
        "\n"
        "Numbers\n"
        "            a     b_1\n"
        "  accuracy  95 %  100.0 %\n"
        "  x|y             1"
    )


def test_markdown_escapes_all_but_code() -> None:
    assert render_markdown(SECTIONS) == (
        "### b\\_1 against a\n"
        "\n"
        "b\\_1: `dvc exp apply b_1` is " + "better " * 15 + "\\<now\\>.\n"
        "\n"
        "### Numbers\n"
        "\n"
        "|  | a | b\\_1 |\n"
        "| --- | --: | --: |\n"
        "| accuracy | 95 % | 100.0 % |\n"
        "| x\\|y |  | 1 |"
    )


@pytest.mark.parametrize("render", [render_text, render_markdown])
def test_real_sections_are_rendered(render) -> None:
    shown = render(sections(BASE, WORSE, make_run("x", good(3, 0), predictions=make_answers(good(3, 0)))))
    assert "REGRESSION" in shown
    assert "None" not in shown
