from overview_inputs import make_inputs

from convlens.pages.model_card import render_summary

INPUTS = make_inputs()


def render(**changes: object) -> str:
    values = {"metrics": INPUTS.metrics, "card": INPUTS.prepared_card, "checks": INPUTS.validation_result, **changes}
    return render_summary(
        values["metrics"],  # type: ignore[arg-type]
        INPUTS.model_card,
        values["card"],  # type: ignore[arg-type]
        values["checks"],  # type: ignore[arg-type]
        predictions=INPUTS.predictions,
    ).replace("\N{NO-BREAK SPACE}", " ")


def test_the_summary_holds_numbers_answers_counts_and_links() -> None:
    text = render()
    right = int(INPUTS.predictions["correct"].sum())
    assert text.startswith(
        f"# Cats or dogs?\n\nOn 16 photos the network never saw, it is right **{100 * right / 16:.1f} %**"
    )
    for words in (
        "| ROC AUC | 0.",
        "| Truth ↓ answer → | cats | dogs |\n| --- | --: | --: |\n| cats | ",
        "| cats | 11 | 4 | 8 |",
        "| all | 23 | 8 | 16 |",
        "Data checks: **warnings**, 1 of 2 expectations met, 1 photo left out.",
        "- warning: no photo twice: 2 photos do not",
        "residual, 971,329 parameters, looks at 160 × 160 pixels; 6 epochs, weights of epoch 5 kept",
        "](report.html)",
        "](feature_maps.html)",
    ):
        assert words in text
    assert text == render()


def test_the_answers_are_left_out_without_predictions() -> None:
    text = render_summary(INPUTS.metrics, INPUTS.model_card, INPUTS.prepared_card, INPUTS.validation_result)
    assert "Truth" not in text


def test_an_undefined_number_is_said_to_be() -> None:
    assert "| ROC AUC | undefined |  |" in render(
        metrics={**INPUTS.metrics, "roc_auc": None, "roc_auc_low": None, "roc_auc_high": None}
    )


def test_names_cannot_become_markup() -> None:
    other = make_inputs(("a|b", "<b>*c*"))
    text = render_summary(
        other.metrics, other.model_card, other.prepared_card, other.validation_result, predictions=other.predictions
    )
    assert r"a\|b" in text
    assert r"\<b\>\*c\*" in text
