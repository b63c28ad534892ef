from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compared_runs import COMPARE, EVALUATE, good, make_answers, make_history, make_photos, make_run, make_validation

from convlens.compare.comparison import FirstResults, RunsCompared, compare_runs
from convlens.compare.describe import describe
from convlens.compare.runs import Output, Snapshot
from convlens.compare.sections import Section, name_run, plain, render_markdown, render_text, show_value

BASE = make_run("HEAD", good(95, 5), commit="1b9b83e" + "0" * 33)
WORSE = make_run(
    "now", good(80, 20), params={"train": {"epochs": 9}}, outdated=("train.epochs",), seconds=None, card={}
)
BETTER = make_run("up_1", good(100, 0), seconds=9.4)


def compared(*runs: Snapshot) -> RunsCompared:
    return compare_runs(runs, evaluate=EVALUATE, compare=COMPARE)


def sections(*runs: Snapshot) -> dict[str, Section]:
    return {section.key: section for section in describe(compared(*runs))}


def clean(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def told(*runs: Snapshot) -> str:
    """The sentences of the first section, without non-breaking spaces."""
    return clean("\n".join(sections(*runs)["verdict"].sentences))


def title(*runs: Snapshot) -> str:
    return clean(sections(*runs)["verdict"].title)


def row(section: Section, name: str) -> tuple[str, ...]:
    (found,) = (cells[1:] for cells in section.rows if cells[0] == name)
    return tuple(clean(cell) for cell in found)


def test_a_regression_is_said() -> None:
    assert title(BASE, WORSE) == "Regression: now is worse than HEAD by 15.0 points of accuracy"
    assert told(BASE, WORSE) == (
        "now against HEAD (1b9b83e).\n"
        "now: params.yaml has changed since its results were made (train.epochs). "
        "The numbers are those of the old values until `dvc repro` has run.\n"
        "now: worse than HEAD on the same 100 test photos. Accuracy 80.0 % instead of 95.0 %: "
        "-15.0 points (-23.5 to -8.2, 95 % paired interval). "
        "0 photos classified correctly by now alone, 15 by HEAD alone (McNemar's exact test, p < 0.001).\n"
        "now: REGRESSION. The loss is more than what is tolerated (2.0 points, compare.max_regression)."
    )
    assert compared(BASE, WORSE).has_regression
    assert not compared(BASE, BETTER).has_regression
    assert compared(BASE, BETTER, WORSE).has_regression


def test_the_headline_is_the_verdict() -> None:
    many = make_run("many", good(1000, 0)), make_run("less", good(985, 15))
    assert title(*many) == (
        "Worse: less is worse than many by 1.5 points of accuracy, within the 2.0 that are tolerated"
    )
    assert title(WORSE, BETTER) == "Better: up_1 is better than now by 20.0 points of accuracy"
    assert title(BASE, make_run("again", good(96, 4))) == (
        "No difference between again and HEAD that 100 test photos can show"
    )
    assert title(BASE, replace(BETTER, predictions=None, outputs={})) == "No verdict on up_1 against HEAD"
    assert title(BASE, WORSE, BETTER) == "2 runs against HEAD: 1 worse, 1 no difference; 1 regression"


def test_an_unpaired_comparison_is_labeled() -> None:
    head = replace(WORSE, predictions=None)
    assert title(BASE, head) == "Regression: now is worse than HEAD by 15.0 points of accuracy (unpaired)"
    lines = told(BASE, head).splitlines()
    assert lines[2].endswith("95 % unpaired interval). Fisher's exact test: p = 0.002.")
    assert lines[3].startswith(
        "The comparison is unpaired, by totals alone, which shows less than one photo by photo. "
    )
    assert "Bring them with `dvc pull`" in lines[3]
    found = sections(BASE, head)
    assert found["metrics"].head == ("", "HEAD", "now", "unpaired difference", "")
    assert {"slices", "predictions", "confusion"}.isdisjoint(found)


def test_what_few_photos_do_not_exclude_is_said() -> None:
    """Nobody takes `no difference` for as good as before: 10 of 100 predictions changed here, 5 each way."""
    head = make_run("now", [False] * 5 + good(90, 0) + [True] * 5)
    assert told(BASE, head).splitlines()[-1] == (
        "now: a loss of up to 6.1 points is not excluded, more than the 2.0 that are tolerated. More test photos would "
        "tell."
    )
    assert "not excluded" not in told(BASE, BASE) + told(BASE, WORSE)


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
    assert told(*runs).splitlines()[2:] == [
        "They learned from other photos: HEAD from 3 photos, up_1 from 5 photos, 3 shared."
    ]
    assert len(told(runs[0], runs[0]).splitlines()) == 2


def test_why_there_is_no_verdict_is_said() -> None:
    head = make_run("lost", good(4, 0), predictions=None)
    assert told(BASE, head).splitlines()[1].startswith("lost: no verdict. The predictions of lost for the single test")
    metrics = sections(BASE, head)["metrics"]
    assert metrics.head == ("", "HEAD", "lost")
    assert row(metrics, "photos") == ("100", "4")


def test_two_runs_have_paired_differences() -> None:
    found = sections(BASE, WORSE)
    parameters, metrics = found["parameters"], found["metrics"]
    assert (parameters.head, parameters.rows) == (("", "HEAD", "now"), (("train.epochs", "3", "9"),))
    assert metrics.head == ("", "HEAD", "now", "paired difference", "")
    assert row(metrics, "accuracy") == (
        "95.0 % (90.0 % to 100 %)",
        "80.0 % (75.0 % to 85.0 %)",
        "-15.0 points (-23.5 to -8.2)",
        "worse",
    )
    assert row(metrics, "ROC AUC")[:2] == ("undefined", "undefined")
    assert row(metrics, "log loss (less is better)")[-1] == "worse"  # it rose
    assert found["cost"].rows == (
        ("epochs", "3", "3"),
        ("training time", "1 min 35 s", "unknown"),
        ("parameters", "12,345", "unknown"),
        ("size of the model", "2.5 MB", "2.5 MB"),
        ("size of the report", "700.0 kB", "700.0 kB"),
        ("size of the feature-map page", "unknown", "unknown"),
    )


def test_many_runs_stand_in_one_table_against_the_first() -> None:
    found = sections(BASE, WORSE, BETTER)
    assert found["verdict"].sentences[0] == "now, up_1 against HEAD (1b9b83e)."
    assert found["verdict"].sentences[-1].startswith("The best of many runs looks better than it is")
    assert found["parameters"].rows == (("train.epochs", "3", "9", "3"),)
    assert found["metrics"].head == ("", "HEAD", "now", "up_1")
    against = row(found["metrics"], "against HEAD")
    assert [cell.split(" points")[0] for cell in against] == ["", "worse: -15.0", "no difference: +5.0"]
    assert row(found["cost"], "training time") == ("1 min 35 s", "unknown", "9 s")
    assert list(found) == ["verdict", "parameters", "metrics", "data", "curves", "filters", "cost"]


def test_code_that_differs_is_told() -> None:
    runs = [
        replace(BASE, code={"src/a.py": ("1", ("train",)), "src/b.py": ("2", ("train", "report"))}),
        replace(BASE, code={"src/a.py": ("1", ("train",)), "src/b.py": ("3", ("train", "report"))}),
    ]
    assert sections(*runs)["parameters"] == Section(
        "parameters",
        "Parameters",
        "all are the same",
        sentences=("The code differs, too, that made the results: `src/b.py`, used by 2 stages: train, report.",),
        folded=False,
    )
    assert sections(BASE, BETTER)["parameters"].sentences == ()  # nobody knows


def test_classes_that_changed_beyond_chance_are_told() -> None:
    """All the cats are lost and no dog is: McNemar's p of 20 to 0 is 2 / 2 ** 20, of two groups the smaller doubles."""
    predictions = make_answers([index % 2 == 1 or index >= 40 for index in range(100)])
    head = replace(make_run("now", good(100, 0)), predictions=predictions)
    groups = sections(make_run("HEAD", good(100, 0)), head)["slices"]
    assert (groups.gist, groups.folded) == ("1 of 2 changed beyond chance", False)
    assert groups.rows == (("cats", "50", "100 %".replace(" ", "\N{NO-BREAK SPACE}"),
                            "60.0\N{NO-BREAK SPACE}%", "worse, p < 0.001"),)  # fmt: skip
    assert sections(BASE, BASE)["slices"].gist == "none changed beyond chance"


def test_photos_whose_prediction_changed_are_named_the_largest_change_first() -> None:
    predictions = make_answers(good(94, 6))
    predictions.loc[94, ["probability_cats", "probability_dogs"]] = [0.05, 0.95]
    found = sections(BASE, replace(make_run("now", good(94, 6)), predictions=predictions))["predictions"]
    assert found.gist == "1 now wrong"
    assert [tuple(map(clean, cells)) for cells in found.rows] == [
        ("p94.png", "cats", "cats 90.0 %", "dogs 95.0 %", "now wrong")
    ]
    many = sections(BASE, WORSE)["predictions"]
    assert (many.gist, len(many.rows)) == ("15 now wrong", 10)
    assert many.sentences == ("5 more are not listed; `--html` shows more, with pictures.",)
    assert sections(BASE, BASE)["predictions"].gist == "none"


def test_both_confusion_matrices_stand_in_one_table() -> None:
    found = sections(BASE, WORSE)["confusion"]
    assert found.head == ("truth ↓ prediction →", "cats", "dogs")
    assert found.rows == (("cats", "48 → 40", "2 → 10"), ("dogs", "3 → 10", "47 → 40"))


def test_of_many_classes_the_confusions_that_changed_are_listed() -> None:
    names = [f"class {number}" for number in range(10)]
    truth = names * 3
    predictions = pd.DataFrame({"path": [f"{index}.png" for index in range(30)], "label": truth, "predicted": truth})
    for number, name in enumerate(names):
        predictions[f"probability_{name}"] = (np.array(truth) == name) * 0.91 + 0.009
        predictions.loc[predictions["label"] != name, f"probability_{name}"] = 0.01 - number * 1e-9
    worse = predictions.assign(predicted=["class 1", *truth[1:]])
    runs = [
        make_run(name, good(3, 0), predictions=table, photos=None) for name, table in (("a", predictions), ("b", worse))
    ]
    found = sections(*runs)["confusion"]
    assert (found.head, found.rows) == (("", "photos"), (("class 0 taken for class 1", "0 → 1"),))


def test_equal_data_takes_one_line() -> None:
    assert sections(BASE, BETTER)["data"] == Section("data", "Data", "the same 1,234 photos, digest dddddddddddd")


def test_changes_of_the_data_are_told() -> None:
    photos = make_photos(["a/new.png", "a/p1.png", "a/p2.png", "a/p3.png"], ["cats", "cats", "cats", "dogs"],
                         ["#new", "#p1.png", "#p2.png", "#p3.png"])  # fmt: skip
    photos.loc[3, "split"] = "train"
    base = make_run("HEAD", good(4, 0))
    card = {"source": "/home/me/photos/pets", "digest": "e" * 64, "counts": {"test": {"cats": 51, "dogs": 50}}}
    head = replace(base, name="now", photos=photos, prepared_card=card, validation=make_validation(1235, dark=True))
    data = sections(base, head)["data"]
    assert data.gist == "1 added, 1 removed, 1 relabeled, 1 in another split"
    assert data.rows == (
        ("source", "photos", "…/photos/pets"),
        ("digest", "dddddddddddd", "eeeeeeeeeeee"),
        ("photos found", "1,234", "1,235"),
        ("photos used", "1,234", "1,235"),
        ("test: cats", "50", "51"),
        ("expectation dark", "met", "warning: 3 photos do not meet it"),
    )
    assert data.sentences == (
        "1 photo added: `a/new.png`.",
        "1 photo removed: `p0.png`.",
        "1 photo has another class: `a/p1.png`.",
        "1 photo is in another split: `a/p3.png`.",
    )
    unknown = sections(base, replace(head, photos=None, prepared_card={}, card={}, validation={}))["data"]
    assert row(unknown, "digest") == ("dddddddddddd", "unknown")
    assert row(unknown, "photos found") == ("1,234", "unknown")


def test_courses_are_drawn_on_one_scale() -> None:
    histories = make_history(3, loss=0.3), make_history(60, loss=0.6)
    runs = [replace(BASE, name=name, history=history) for name, history in zip("ab", histories, strict=True)]
    rows = [tuple(map(clean, cells)) for cells in sections(*runs)["curves"].rows]
    assert rows[0] == ("validation loss", "a", "█▅▁", "3", "0.300", "0.300")
    assert len(rows[1][2]) == 24
    assert (rows[1][2][0], rows[1][2][-1], rows[1][3:]) == ("█", "▄", ("60", "0.600", "0.600"))
    assert rows[5] == ("validation accuracy", "b", rows[5][2], "60", "70.0 %", "70.0 %")
    nothing = [replace(run, history=pd.DataFrame({"epoch": [1]})) for run in runs]
    assert "curves" not in sections(*nothing)


def test_what_is_not_known_of_filters_is_said() -> None:
    found = sections(BASE, BETTER)["filters"]
    assert found.rows == (("filters", "96", "96"), ("never fire", "2", "2"), ("mean selectivity", "0.250", "0.250"))
    assert found.sentences == (
        "Which were born and died is not compared: a network is not in DVC's cache (`dvc fetch`).",
    )
    assert sections(*[replace(run, maps={}) for run in (BASE, BETTER)])["filters"].rows == ()


def test_why_filters_were_not_compared_is_said() -> None:
    noted = replace(compared(BASE, BETTER), filters_note="Expected a network. Received: none.")
    found = {section.key: section for section in describe(noted)}["filters"]
    assert found.sentences == ("Which were born and died is not compared. Expected a network. Received: none.",)


def test_first_results_are_no_regression() -> None:
    first = FirstResults("main", "Expected told.json at the revision 'main'. Received: nothing there.", (WORSE,))
    found = describe(first)
    assert found[0].title == "First results: main has none to compare with"
    assert row(found[1], "photos") == ("100",)
    assert not first.has_regression
    assert render_markdown(found).splitlines()[:2] == [f"### {found[0].title}", "<!-- convlens compare -->"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a`b`c", "a'b'c"),
        ("two\nlines", "two lines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("x" * 50 + "y" * 100, "x" * 50 + "y" * 9 + "…" + "y" * 60),
    ],
)
def test_names_cannot_become_anything_else(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_folders_of_the_machine_are_not_told() -> None:
    shown = [show_value(text) for text in ("/home/me/photos/pets", "~/pets", r"C:\me\pets", "data/cards/a.yaml", "0.1")]
    assert shown == ["…/photos/pets", "…/~/pets", "…/me/pets", "data/cards/a.yaml", "0.1"]


def test_a_whole_commit_is_named_by_its_first_digits() -> None:
    assert name_run(replace(BASE, name="a" * 40)) == "aaaaaaa"


SECTIONS = (
    Section("verdict", "b_1 against a", sentences=("b_1: `dvc exp apply b_1` is " + "better " * 15 + "<now>.",)),
    Section("numbers", "Numbers", "few", ("", "a", "b_1"), (("accuracy", "95 %", "100.0 %"), ("x|y", "", "1"))),
    Section("names", "Names", "of <b> & @me", ("", "is"), (("@you", "#1"),), numbers=False),
    Section("same", "Same", "all <of> it"),
    Section("open", "Open", head=("a",), rows=(("1",),), folded=False),
)


def test_text_has_columns_and_folded_sentences() -> None:
    assert render_text(SECTIONS[:2]) == (
        "b_1 against a\n"
        "  b_1: `dvc exp apply b_1` is better better better better better better better better better better\n"
        "    better better better better better <now>.\n"
        "\n"
        "Numbers: few\n"
        "            a     b_1\n"
        "  accuracy  95 %  100.0 %\n"
        "  x|y             1"
    )


def test_markdown_escapes_all_but_code_and_calls_nobody() -> None:
    assert render_markdown(SECTIONS) == (
        "### b\\_1 against a\n"
        "<!-- convlens compare -->\n"
        "\n"
        "b\\_1: `dvc exp apply b_1` is " + "better " * 15 + "\\<now\\>.\n"
        "\n"
        "<details><summary><b>Numbers</b>: few</summary>\n"
        "\n"
        "|  | a | b\\_1 |\n"
        "| --- | --: | --: |\n"
        "| accuracy | 95 % | 100.0 % |\n"
        "| x\\|y |  | 1 |\n"
        "\n"
        "</details>\n"
        "\n"
        "<details><summary><b>Names</b>: of &lt;b&gt; &amp; @<!-- -->me</summary>\n"
        "\n"
        "|  | is |\n"
        "| --- | --- |\n"
        "| @<!-- -->you | #<!-- -->1 |\n"
        "\n"
        "</details>\n"
        "\n"
        "**Same**: all \\<of\\> it\n"
        "\n"
        "#### Open\n"
        "\n"
        "| a |\n"
        "| --- |\n"
        "| 1 |"
    )


def test_markdown_fits_into_a_comment() -> None:
    rows = tuple((f"{number}", "x" * 100) for number in range(1000))
    large = Section("large", "Large", head=("", "a"), rows=rows)
    shown = render_markdown((*SECTIONS[:2], large, SECTIONS[3]))
    assert len(shown.encode()) < 60_000
    assert shown.split("</details>\n\n")[1] == (
        "The rest was left out: it would not fit into a comment. `convlens compare --html FILE` shows all of it.\n\n"
        "**Same**: all \\<of\\> it"
    )


def test_the_whole_comment() -> None:
    head = make_run("now", good(80, 20), params={"train": {"epochs": 9}}, history=make_history(9, loss=0.7))
    shown = render_markdown(describe(compared(BASE, head)))
    assert clean(shown) + "\n" == Path(__file__).with_name("comparison.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("render", [render_text, render_markdown])
def test_real_sections_are_rendered(render) -> None:
    third = make_run("x", good(3, 0), predictions=make_answers(good(3, 0)), outputs={"x": Output("x", "", None)})
    for runs in ((BASE, WORSE), (BASE, WORSE, third)):
        shown = render(describe(compared(*runs)))
        assert "REGRESSION" in shown
        assert "None" not in shown
