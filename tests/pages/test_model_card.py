from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from overview_inputs import make_inputs

from convlens.pages.model_card import CardInputs, render_model_card

HEADINGS = [
    "Model Details", "Uses", "Bias, Risks, and Limitations", "How to Get Started with the Model", "Evaluation",
    "Training Details", "Technical Specifications", "More Information",
]  # fmt: skip
SOURCE = {"kind": "url", "name": "pets", "license": "CC0-1.0", "homepage": "https://example.org/pets"}


def make_card(**changes: Any) -> CardInputs:
    inputs = make_inputs()
    card = CardInputs(
        model_card=inputs.model_card | {"temperature": 0.8}, prepared_card=inputs.prepared_card, source_card=SOURCE,
        metrics=inputs.metrics, class_scores=inputs.class_scores, params=inputs.params, num_photos_found=48,
        model_bytes=1_800_000,
    )  # fmt: skip
    return replace(card, **changes)


def test_the_headings_are_those_of_the_template() -> None:
    text = render_model_card(make_card())
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    assert text.startswith("# Model Card: Cats or dogs?\n\n## Model Details\n")
    assert render_model_card(make_card()) == text


def test_what_a_user_must_know_is_there() -> None:
    inputs = make_card()
    text = render_model_card(inputs)
    for fact in (
        "- **License of the data:** CC0-1.0", "pets, https://example.org/pets: 48 photos found", "1.8 MB",
        'mlflow.pyfunc.load_model("models:/convlens@champion")', "convlens evaluate path/to/labeled/photos",
        inputs.model_card["key"], inputs.prepared_card["digest"], "Recall of dogs", "(temperature 0.8, fitted on",
        "### Out-of-Scope Use", "| all |",
    ):  # fmt: skip
        assert fact in text, fact


def test_a_folder_has_no_stated_licence() -> None:
    assert "not stated; ask whoever gave the photos" in render_model_card(make_card(source_card={}))


def test_painted_photos_are_called_so() -> None:
    text = render_model_card(make_card(source_card={"kind": "synthetic", "license": "CC0-1.0", "name": "synthetic"}))
    assert "It has never seen a real photo" in text


def test_slices_and_disturbances_are_told_where_they_were_measured() -> None:
    columns = ["feature", "slice", "num_photos", "num_correct", "accuracy", "low", "high", "worse"]
    slices = pd.DataFrame(
        [["brightness", "dark", 20, 15, 0.75, 0.5, 0.9, True], ["size", "small", 30, 29, 0.967, 0.8, 1.0, False]],
        columns=columns,
    )
    disturbed = {"num_photos": 80, "model_shift_accuracy": 0.9, "model_shift_accuracy_low": 0.85,
                 "model_shift_accuracy_high": 0.94, "model_shift_consistency": 0.97}  # fmt: skip
    text = render_model_card(make_card(slices=slices, robustness=disturbed)).replace("\N{NO-BREAK SPACE}", " ")
    assert "| brightness: dark | 20 | 75.0 % | 50.0 % to 90.0 % |" in text
    assert "1 of 2 groups is worse than the rest beyond chance" in text
    assert "| shifted | 90.0 % (85.0 % to 94.0 %) | 97.0 % |" in text
    plain = render_model_card(make_card())
    assert "Groups of test photos" not in plain
    assert "disturbed" not in plain


@pytest.mark.parametrize("name", ["a|b", "<script>alert(1)</script>", "*stars*", "[link](x)"])
def test_names_mean_nothing_but_themselves(name: str) -> None:
    inputs = make_inputs((name, "dogs"))
    card = make_card(prepared_card=inputs.prepared_card, class_scores=inputs.class_scores, metrics=inputs.metrics)
    page = MarkdownIt("commonmark").enable("table").render(render_model_card(card))
    assert "<script>" not in page
    assert "<em>stars" not in page
    assert 'href="x"' not in page
    assert page.count("<table>") == 2
