"""The model card: what a trained network is for, what it is worth, where it fails; as Markdown.

Headings are those of Hugging Face's template, which follows Mitchell et al., Model Cards for Model Reporting (FAT*
2019). Sections that matter most stand first: MLflow shows as many of them as fit a description.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from convlens.report.markdown import escape_markdown
from convlens.report.model_card_tables import (
    list_counts,
    list_invariance,
    list_recipe,
    list_results,
    list_slices,
    say_calibration,
)
from convlens.report.overview_glance import name_task
from convlens.report.wording import interval_of, join_words, show_count, show_share

UNKNOWN_LICENCE = "not stated; ask whoever gave the photos"
USE = """```python
import mlflow

model = mlflow.pyfunc.load_model("models:/{name}@champion")
answers = model.predict(["photo.jpg"])  # label, a probability per class, error
```"""
CHECK = """```console
convlens evaluate path/to/labelled/photos
```"""


@dataclass(frozen=True, kw_only=True)
class CardInputs:
    """Everything the card says, as plain values.

    Attributes:
        model_card: `data/model/card.json`.
        prepared_card: `data/prepared/card.json`.
        source_card: the data-set card that `data.source` names; empty for a folder or an archive.
        metrics: `reports/evaluation/metrics.json`.
        class_scores: `reports/evaluation/classes.csv`.
        params: `params.yaml`, the groups that the report knows.
        num_photos_found: photos that `ingest` listed.
        model_bytes: size of model.keras.
        name: of the registered model.
        slices: `reports/evaluation/slices.csv`; None if there is none.
        invariance: `reports/invariance/metrics.json`; empty if there is none.
    """

    model_card: Mapping[str, Any]
    prepared_card: Mapping[str, Any]
    source_card: Mapping[str, Any]
    metrics: Mapping[str, Any]
    class_scores: pd.DataFrame
    params: Mapping[str, Any]
    num_photos_found: int
    model_bytes: int
    name: str = "convlens"
    slices: pd.DataFrame | None = None
    invariance: Mapping[str, Any] = field(default_factory=dict)


def render_model_card(inputs: CardInputs) -> str:
    """The whole card; the same inputs give the same text."""
    sections: Sequence[tuple[str, Sequence[str]]] = (
        ("Model Details", _describe_model(inputs)),
        ("Uses", _describe_uses(inputs)),
        ("Bias, Risks, and Limitations", _describe_limits(inputs)),
        ("How to Get Started with the Model", [USE.format(name=inputs.name), *_say_address(inputs)]),
        ("Evaluation", _describe_evaluation(inputs)),
        ("Training Details", _describe_training(inputs)),
        ("Technical Specifications", _describe_machine(inputs)),
        ("More Information", _say_reproduction(inputs)),
    )
    title = f"# Model Card: {escape_markdown(name_task(_classes(inputs)))}"
    blocks = [title, *(block for head, body in sections for block in (f"## {head}", *body) if block)]
    return "\n\n".join(blocks) + "\n"


def _classes(inputs: CardInputs) -> list[str]:
    return [str(name) for name in inputs.prepared_card["classes"]]


def _names(inputs: CardInputs, last: str = "and") -> str:
    names = [escape_markdown(name) for name in _classes(inputs)]
    shown = names if len(names) <= 12 else [*names[:11], f"{len(names) - 11} more classes"]
    return join_words(shown) if last == "and" else join_words(shown).replace(" and ", f" {last} ")


def _describe_model(inputs: CardInputs) -> list[str]:
    card = inputs.model_card
    value, low, high = interval_of(inputs.metrics, "accuracy")
    ends = "" if low is None else f" ({_confidence(inputs)} interval {show_share(low)} to {show_share(high)})"
    photos = show_count(inputs.metrics["num_photos"], "photo")
    return [
        f"A convolutional network that says whether a photo shows {_names(inputs, 'or')}. On {photos} it never saw it "
        f"is right **{show_share(value)}** of the time{ends}.",
        "\n".join(
            [
                f"- **Model type:** image classification, {escape_markdown(str(card['architecture']))}, "
                f"{card['num_parameters']:,} parameters, {inputs.model_bytes / 1e6:.1f} MB",
                f"- **Input:** one photo; it sees {card['image_size']} × {card['image_size']} pixels of it",
                f"- **Output:** one of {_names(inputs)}, with a probability for each",
                f"- **Trained by:** ConvLens, key `{card['key'][:12]}`",
                f"- **Licence of the data:** {escape_markdown(_licence(inputs))}",
            ]
        ),
    ]


def _licence(inputs: CardInputs) -> str:
    return str(inputs.source_card.get("licence") or UNKNOWN_LICENCE)


def _describe_uses(inputs: CardInputs) -> list[str]:
    painted = inputs.source_card.get("kind") == "painted"
    drawn = "It has never seen a real photo: all it learned from was drawn by a program. It is for learning and tests: "
    what = "sorting" if painted else "Sorting"
    return [
        "### Direct Use",
        f"{drawn if painted else ''}{what} photos of {_names(inputs)} that are like those it was trained on, with a "
        "person looking at the answers it is unsure of.",
        "### Out-of-Scope Use",
        f"- Photos of anything but {_names(inputs)}, or of several at once: it names one of them all the same.\n"
        "- Saying where something is in the photo, how many there are, or which one it is.\n"
        "- Decisions about people, animals or safety that nobody checks.\n"
        "- Photos from another camera, place or time, before `convlens evaluate` has said what it is worth there.",
    ]


def _describe_limits(inputs: CardInputs) -> list[str]:
    counts = inputs.prepared_card["counts"].get("train", {})
    few, many = (pick(counts.values(), default=0) for pick in (min, max))
    uneven = f" Classes are uneven ({few:,} to {many:,} training photos): the rare ones are known less well."
    return [
        "The numbers below hold for photos drawn as the test split was, and for no others: photos that look alike "
        "stand in one split, but photos of one camera or one place may stand in several."
        + (uneven if many > 1.5 * few else "")
        + " A probability is about the classes it knows: an unknown object gets a high one, too. What it decides by is "
        "shown, filter by filter, in `feature_maps.html`; that a reason looks sensible does not prove it.",
        *_say_worst_class(inputs),
        "### Recommendations",
        "Evaluate it on labelled photos of your own before you use it; the command also says whether they are like the "
        f"photos of the training:\n\n{CHECK}",
    ]


def _say_worst_class(inputs: CardInputs) -> list[str]:
    table = inputs.class_scores.assign(recall=pd.to_numeric(inputs.class_scores["recall"], errors="coerce"))
    known = table.dropna(subset=["recall"])
    if known.empty or float(known["recall"].min()) == 1:
        return []
    row = known.iloc[int(known["recall"].to_numpy().argmin())]
    ends = f"{show_share(float(row['recall_low']))} to {show_share(float(row['recall_high']))}"
    name = escape_markdown(str(row["class"]))
    return [f"It is weakest on {name}: {show_share(float(row['recall']))} of them are found (interval {ends})."]


def _say_address(inputs: CardInputs) -> list[str]:
    return [
        f"`models:/{inputs.name}/VERSION` is this very one. Paths, bytes, base64 texts and arrays are all taken; a "
        "photo that cannot be read is told in its row."
    ]


def _describe_evaluation(inputs: CardInputs) -> list[str]:
    num_test = inputs.metrics["num_photos"]
    return [
        "### Testing Data, Factors & Metrics",
        f"{show_count(num_test, 'photo')} held out from the start, none of them {_alike(inputs)} a training photo. "
        f"Intervals hold the true value with {_confidence(inputs)} confidence (bootstrap over photos within each "
        "class, BCa; Wilson for shares of a class).",
        "### Results",
        list_results(inputs.metrics, inputs.class_scores),
        *list_slices(inputs.slices),
        *list_invariance(inputs.invariance),
        *say_calibration(inputs.metrics, inputs.model_card),
    ]


def _alike(inputs: CardInputs) -> str:
    near = inputs.params["preprocess"].get("near_duplicates", True)
    return "a near-duplicate of" if near else "the same file as"


def _describe_training(inputs: CardInputs) -> list[str]:
    card = inputs.prepared_card
    found = inputs.num_photos_found
    homepage = inputs.source_card.get("homepage")
    return [
        "### Training Data",
        f"{escape_markdown(str(inputs.source_card.get('name') or card.get('source', 'unknown')))}"
        + (f", {homepage}" if homepage else "")
        + f": {show_count(found, 'photo')} found, those that could be used split as below. Licence: "
        f"{escape_markdown(_licence(inputs))}. Digest of photos, labels and split: `{card['digest'][:12]}`.",
        list_counts(card),
        "### Training Procedure",
        list_recipe(inputs.params, inputs.model_card, card),
    ]


def _describe_machine(inputs: CardInputs) -> list[str]:
    card = inputs.model_card
    threads = show_count(card["num_threads"], "thread") if card.get("num_threads") else "one thread per core"
    seen = sum(inputs.prepared_card["counts"].get("train", {}).values()) * card["epochs"]
    return [
        f"Trained on {card['device']} in {card['precision']}, {threads}: {show_count(card['epochs'], 'epoch')}, "
        f"{seen:,} photos looked at. Seconds and memory of each epoch are among the metrics of the MLflow run."
    ]


def _say_reproduction(inputs: CardInputs) -> list[str]:
    card = inputs.model_card
    return [
        "The commit of ConvLens whose `dvc.lock` holds these digests holds everything: `git checkout` it, then "
        "`make repro` gives the same network, bit by bit, on the same machine with the same number of threads.",
        f"- Key of the training (data, parameters and code): `{card['key']}`\n"
        f"- Digest of the prepared photos: `{inputs.prepared_card['digest']}`",
        "`report.html` shows data, training and evaluation, `feature_maps.html` what the network sees.",
    ]


def _confidence(inputs: CardInputs) -> str:
    return show_share(inputs.params["evaluate"]["confidence"], 0)
