"""Model card and summary: what they say, and that no name becomes markup."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from report_inputs import change_evaluation, make_inputs

from convlens.metrics.robustness import Robustness
from convlens.models.files import FILE
from convlens.pages.model_card import render_model_card, render_summary
from convlens.pages.report import ReportInputs

HEADINGS = [
    "Model Details", "Uses", "Bias, Risks, and Limitations", "How to Get Started with the Model", "Evaluation",
    "Training Details", "Technical Specifications", "More Information",
]  # fmt: skip
PETS = "kind: url\nname: pets\nlicense: CC0-1.0\nhomepage: https://example.org/pets\n"
HOSTILE = ["a|b", "<script>alert(1)</script>", "*stars*", "[link](x)"]


@pytest.fixture
def inputs(tmp_path: Path) -> ReportInputs:
    return from_source(tmp_path, PETS)


def from_source(folder: Path, card: str | None = None, classes: tuple[str, ...] = ("cats", "dogs")) -> ReportInputs:
    """A run whose network is a file of 1.8 MB, trained on the photos of a card or of a folder."""
    (folder / FILE).write_bytes(bytes(1_800_000))
    if card:
        (folder / "card.yaml").write_text(card)
    inputs = make_inputs(classes, source=str(folder / "card.yaml") if card else "photos")
    metrics = {**inputs.evaluation.metrics, "temperature": 0.8}
    return replace(change_evaluation(inputs, metrics=metrics), training=replace(inputs.training, folder=folder))


def card_of(inputs: ReportInputs) -> str:
    return render_model_card(inputs).replace("\N{NO-BREAK SPACE}", " ")


def summary_of(inputs: ReportInputs) -> str:
    return render_summary(inputs).replace("\N{NO-BREAK SPACE}", " ")


def test_the_headings_are_those_of_the_template(inputs: ReportInputs) -> None:
    text = card_of(inputs)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    assert text.startswith("# Model Card: Cats or dogs?\n\n## Model Details\n")
    assert "\n\n\n" not in text
    assert card_of(inputs) == text


def test_what_a_user_must_know_is_there(inputs: ReportInputs) -> None:
    text = card_of(inputs)
    for fact in (
        "**Ready to use?** N", "- **Data: look.** Missed: no photo twice",
        "- **License of the data:** CC0-1.0", "pets, https://example.org/pets: 48 photos found", "1.8 MB",
        'mlflow.pyfunc.load_model("models:/synthetic@champion")', "convlens evaluate path/to/labeled/photos",
        inputs.training.card["key"], inputs.prepared.card["digest"], "| Recall of dogs | ", "(temperature 0.8, fitted",
        "### Out-of-Scope Use", "| all | 23 | 8 | 16 |", "whether a photo shows cats or dogs",
    ):  # fmt: skip
        assert fact in text, fact


def test_a_folder_has_no_stated_license_and_synthetic_photos_are_called_so(tmp_path: Path) -> None:
    assert "not stated; ask whoever gave the photos" in card_of(from_source(tmp_path))
    synthetic = card_of(from_source(tmp_path, "kind: synthetic\nname: synthetic\nlicense: CC0-1.0\n"))
    assert "It has never seen a real photo" in synthetic


def test_pretrained_weights_are_named_with_their_license(inputs: ReportInputs) -> None:
    assert "Starts from" not in card_of(inputs)
    weights = {
        "name": "EfficientNetLite2",
        "source": "the package p 0.1.0",
        "license": "Apache-2.0",
        "sha256": "a" * 64,
    }
    inputs.training.card["backbones"] = [weights, {**weights, "license": None, "sha256": None}]
    text = card_of(inputs)
    assert f"the weights of the package p 0.1.0 (sha256 `{'a' * 64}`), license Apache-2.0; what these" in text
    assert "the weights of the package p 0.1.0, license not stated; what these" in text


def test_slices_and_perturbations_are_told_where_they_were_measured(inputs: ReportInputs) -> None:
    columns = ["feature", "slice", "num_photos", "num_correct", "accuracy", "low", "high", "worse"]
    slices = pd.DataFrame(
        [["brightness", "dark", 20, 15, 0.75, 0.5, 0.9, True], ["size", "small", 30, 29, 0.967, 0.8, 1.0, False]],
        columns=columns,
    )
    perturbed = {"num_photos": 80, "model_shift_accuracy": 0.9, "model_shift_accuracy_low": 0.85,
                 "model_shift_accuracy_high": 0.94, "model_shift_consistency": 0.97}  # fmt: skip
    text = card_of(
        replace(
            change_evaluation(inputs, slices=slices), robustness=Robustness(perturbed, pd.DataFrame(), pd.DataFrame())
        )
    )
    assert "| brightness: dark | 20 | 75.0 % | 50.0 % to 90.0 % |" in text
    assert "1 of 2 slices is worse than the rest beyond chance" in text
    assert "| shifted | 90.0 % (85.0 % to 94.0 %) | 97.0 % |" in text
    plain = card_of(inputs)
    assert "Slices" not in plain
    assert "perturbed" not in plain


def test_the_summary_holds_numbers_predictions_counts_and_links(inputs: ReportInputs) -> None:
    text = summary_of(inputs)
    share = 100 * inputs.evaluation.predictions["correct"].mean()
    assert text.startswith(
        f"# Cats or dogs?\n\nOn 16 photos the network never saw, it is right **{share:.1f} %** of the time (interval "
    )
    for words in (
        "| ROC AUC | 0.",
        "| Label ↓ predicted → | cats | dogs |\n| --- | --: | --: |\n| cats | ",
        "| cats | 11 | 4 | 8 |",
        "| all | 23 | 8 | 16 |",
        "## Ready to use?\n\nN",
        "- **Data: look.** Missed: no photo twice: 2 photos do not.",
        "residual, 971,329 parameters, input 160 × 160 pixels; 6 epochs, weights of epoch 5 kept",
        "](report.html) · [What the network sees](feature_maps.html)",
    ):
        assert words in text, words
    assert "\n\n\n" not in text
    assert text == summary_of(inputs)


def test_an_undefined_number_is_said_to_be(inputs: ReportInputs) -> None:
    undefined = {"roc_auc": None, "roc_auc_low": None, "roc_auc_high": None}
    text = summary_of(change_evaluation(inputs, metrics={**inputs.evaluation.metrics, **undefined}))
    assert "| ROC AUC | undefined |  |" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_mean_nothing_but_themselves(tmp_path: Path, name: str) -> None:
    inputs = from_source(tmp_path, classes=(name, "dogs"))
    for text, tables in ((card_of(inputs), 2), (summary_of(inputs), 3)):
        page = MarkdownIt("commonmark").enable("table").render(text)
        assert "<script>" not in page
        assert "<em>stars" not in page
        assert 'href="x"' not in page
        assert page.count("<table>") == tables
