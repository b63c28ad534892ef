"""The commands `convlens backbones` and `learning-curve`. Light to import: what they need is loaded when called."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convlens.cli.evaluate import align_columns, fold_sentence
from convlens.environment import hold_stderr

if TYPE_CHECKING:
    from convlens.auxiliary.backbone_choice import BackboneChoice, BackboneScore, LabeledPhotos, LearningCurve
    from convlens.metrics.comparison import AccuracyComparison
    from convlens.params import Params

PREPARED = Path("data/prepared")
HARDLY = 0.005  # of the accuracy: what can gain no more is not worth twice the photos


def _take_photos(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name photos and their size."""
    command = click.option(
        "--image-size",
        type=click.IntRange(32, 1024),
        metavar="PIXELS",
        help="Side of the pictures. Default: what each backbone was trained on, 224 for keras.applications.",
    )(command)
    return click.option(
        "--photos",
        "folder",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="A folder of class folders. Default: the prepared photos, without those of the test split.",
    )(command)


@click.command()
@_take_photos
@click.option(
    "--with",
    "others",
    multiple=True,
    metavar="NAME[=FILE]",
    help="One more: a network of keras.applications, with its weights from a file or through Keras, or several of the "
    "installed ones side by side, joined by +. Can be given several times.",
)
def backbones(folder: Path | None, image_size: int | None, others: Sequence[str]) -> None:
    """Ask which backbone suits your photos.

    EfficientNet-Lite0, -Lite1 and -Lite2 are tried, and those that you name.

    By five folds: each photo is predicted by a last layer that was fitted without it. Features are kept, so a second
    call is quick. Prints accuracy, log loss, the difference from the best, and the line that uses the winner.
    """
    from convlens.params import load_params

    params = load_params()
    with hold_stderr():
        from convlens.auxiliary.backbone_choice import choose_backbone, score_backbone
        from convlens.models.efficientnet_lite import LITE_NETWORKS
        from convlens.progress import say

    names = dict.fromkeys((*LITE_NETWORKS, *others))
    choices = [choose_backbone(name, params.model.transfer, image_size=image_size) for name in names]
    photos = _find_photos(folder, params)
    scores = []
    for number, choice in enumerate(choices, start=1):
        say(f"backbones: {choice.name} at {choice.image_size} pixels, {number} of {len(choices)}.")
        scores.append(score_backbone(choice, photos, params.preprocess))
    click.echo(_render_scores(scores, photos, folder))


@click.command()
@_take_photos
@click.option(
    "--backbone",
    default="EfficientNetLite2",
    show_default=True,
    metavar="NAME[=FILE]",
    help="The network whose features the last layer is fitted to.",
)
def learning_curve(folder: Path | None, image_size: int | None, backbone: str) -> None:
    """Ask how many more photos are worth it.

    Shows accuracy over the number of photos to learn from.

    Nested subsets of your photos, three draws of each, by five folds over features that are kept. Says what twice as
    many photos would bring, or that more of the same will not help.
    """
    from convlens.params import load_params

    params = load_params()
    with hold_stderr():
        from convlens.auxiliary.backbone_choice import choose_backbone, compute_features, measure_learning_curve

    choice = choose_backbone(backbone, params.model.transfer, image_size=image_size)
    photos = _find_photos(folder, params)
    curve = measure_learning_curve(compute_features(choice, photos, params.preprocess).values, photos)
    click.echo(_render_curve(curve, choice, is_own=params.model.is_pretrained))


def _find_photos(folder: Path | None, params: "Params") -> "LabeledPhotos":
    from convlens.auxiliary.backbone_choice import LabeledPhotos
    from convlens.progress import say
    from convlens.wording import show_count

    photos = LabeledPhotos.from_folder(folder, params) if folder else LabeledPhotos.from_prepared(PREPARED)
    what = f"{show_count(len(photos.labels), 'photo')} of {show_count(len(photos.classes), 'class', 'classes')}"
    say(f"{what} in {folder or PREPARED}" + ("." if folder else ", without the test split."))
    return photos


# --- what is printed ---


def _render_scores(scores: "Sequence[BackboneScore]", photos: "LabeledPhotos", folder: Path | None) -> str:
    """A table, a sentence about what these photos can show, and the line that uses the best."""
    from convlens.metrics.classification import log_loss
    from convlens.metrics.comparison import compare_accuracies
    from convlens.metrics.intervals import wilson_interval
    from convlens.wording import join_words, show_number, show_range, show_share

    labels = photos.labels
    correct = [score.probabilities.argmax(axis=1) == labels for score in scores]
    losses = [log_loss(labels, score.probabilities) or 0.0 for score in scores]
    best = max(range(len(scores)), key=lambda number: (correct[number].sum(), -losses[number]))
    rows = [("backbone", "pixels", "accuracy", "", "log loss", "points from the best", "CPU s per 1,000", "MB", "")]
    alike = []
    for number, score in enumerate(scores):
        compared = compare_accuracies(labels, correct[best], correct[number])
        if number != best and compared.word == "same":
            alike.append(score)
        rows.append(
            (
                score.choice.name,
                f"{score.choice.image_size}",
                show_share(compared.second),
                show_range(*wilson_interval(correct[number].sum(), len(labels))),
                show_number(losses[number]),
                "" if number == best else _show_difference(compared),
                f"{score.features.seconds:.1f}",
                f"{score.features.megabytes:.1f}",
                "best" if number == best else "no difference" if compared.word == "same" else compared.word,
            )
        )
    winner, told = scores[best], ""
    if alike:
        names = join_words([score.choice.name for score in (winner, *alike)])
        told = f"Between {names} there is no difference these photos can show."
        quickest = min([winner, *alike], key=lambda score: score.features.seconds)
        if quickest is not winner:
            told += f" {quickest.choice.name} is the quickest of them."
    note = "Intervals are of 95 %; seconds are the processor's for 1,000 photos here, megabytes the weights'."
    blocks = [align_columns(rows), told, note]
    return "\n\n".join([*(fold_sentence(block) if block is not blocks[0] else block for block in blocks if block),
                        f"Use {winner.choice.name}:\n{_write_command(winner.choice, folder)}"])  # fmt: skip


def _show_difference(compared: "AccuracyComparison") -> str:
    """Show the accuracy less the best one's, in points, with its paired interval."""
    found = compared.difference
    return f"{_show_points(found.value)} ({_show_points(found.low)} to {_show_points(found.high)})"


def _show_points(value: float | None) -> str:
    return f"{100 * (value or 0.0) + 0.0:.1f}"


def _write_command(choice: "BackboneChoice", folder: Path | None) -> str:
    """The line that trains with a backbone, for a shell."""
    values = {"model.transfer.backbone": choice.name, "preprocess.image_size": f"{choice.image_size}"}
    if choice.transfer.weights_sha256:
        values["model.transfer.weights"] = choice.transfer.weights
        values["model.transfer.weights_sha256"] = choice.transfer.weights_sha256
    if folder:
        values["data.source"] = str(folder)
    settings = " ".join(f"-S {shlex.quote(f'{name}={value}')}" for name, value in values.items())
    return f"dvc exp run $(convlens preset pretrained) {settings}"


def _render_curve(curve: "LearningCurve", choice: "BackboneChoice", *, is_own: bool) -> str:
    """A table of sizes, and a sentence about more photos."""
    from convlens.wording import show_range, show_share

    rows = [("photos to learn from", "accuracy", "", "draws")]
    for size, accuracy, draws in zip(curve.sizes.tolist(), curve.accuracies, curve.draws, strict=True):
        ends = show_range(accuracy.low, accuracy.high)
        same = size == curve.sizes[-1]  # there is but one draw of all photos
        rows.append((f"{size:,}", show_share(accuracy.value), ends, "" if same else show_range(*draws)))
    what = f"This is the curve of a last layer fitted to the features of {choice.name} at {choice.image_size} pixels."
    if not is_own:
        what += " A network from scratch usually needs many times the photos for the same accuracy."
    return "\n\n".join([align_columns(rows), fold_sentence(describe_gain(curve)), fold_sentence(what)])


def describe_gain(curve: "LearningCurve") -> str:
    """Say in a sentence what twice the photos would bring."""
    size, gain = int(curve.sizes[-1]), curve.gain
    ends = f"{_show_points(gain.low)} to {_show_points(gain.high)}"
    twice = f"{2 * size:,} photos to learn from instead of {size:,}"
    if (gain.high or 0.0) < HARDLY:
        return (
            f"More of the same will not help: {twice} would add {_show_points(gain.high)} points of accuracy at most. "
            "Look at the labels and at what is confused, or take another backbone."
        )
    if (gain.low or 0.0) > 0:
        points = f"about {_show_points(gain.value)} points of accuracy ({ends})"
        return f"More photos will help: {twice} would add {points}, if the curve goes on."
    return f"These photos cannot show whether more of them help: {twice} would change the accuracy by {ends} points."
