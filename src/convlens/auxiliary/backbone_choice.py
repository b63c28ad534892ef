"""Which backbone suits these photos, and what more of them would bring: asked by folds over features kept on disk.

    photos = LabeledPhotos.from_folder(Path("../photos"), params)
    candidates = [choose_backbone(name, params.model.transfer) for name in LITE_NETWORKS]
    scores = [score_backbone(candidate, photos, params.preprocess) for candidate in candidates]

Every photo is predicted by a last layer that was fitted without it, and without its near-duplicates.
"""

import functools
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy.special import softmax

from convlens.data.cache import Codec, Photo, cache_folder, map_cached
from convlens.data.decoding import decode_photos
from convlens.data.duplicates import group_duplicates
from convlens.data.loader import LoaderSettings
from convlens.data.prepared import Prepared
from convlens.data.sources import describe_photos, list_folder
from convlens.data.split import deal_folds
from convlens.data.validation import scan_with_pictures
from convlens.environment import hold_stderr, repository_root
from convlens.errors import ConvLensError
from convlens.metrics.intervals import Interval, corrected_range, draw_weights, wilson_interval
from convlens.models.efficientnet_lite import LITE_NETWORKS
from convlens.models.transfer import find_builder, list_parts
from convlens.params import Params, PreprocessParams, TransferParams
from convlens.progress import say
from convlens.training.features import PHOTOS_AT_ONCE, build_extractor, extract_features
from convlens.training.head import NUM_FOLDS, PENALTIES, FeatureScale, find_factor, fit_path, measure_logits

# --- The photos: those that a training may see, or a folder's, as the pipeline would take them ---

CACHE = "backbones"  # below the cache of the stages, so that neither deletes what the other needs


@dataclass(frozen=True)
class LabeledPhotos:
    """Photos to choose by.

    Attributes:
        paths: of the files.
        digests: sha256 of each.
        labels: int64 (num_photos,), indices into `classes`.
        groups: int64 (num_photos,), the same number for near-duplicates.
        classes: sorted names.
    """

    paths: tuple[str, ...]
    digests: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def from_prepared(cls, folder: Path) -> "LabeledPhotos":
        """Take the photos of training and validation; those of the test split have no part in a choice.

        Raises:
            ConvLensError: nothing is prepared, or there are too few photos of a class.
        """
        prepared = Prepared.load(folder)
        table = prepared.splits[prepared.splits["split"].isin(("train", "validation"))]
        first = {path: group[0] for group in prepared.duplicates.get("groups", []) for path in group}
        return cls._of(table, pd.Series([first.get(path, path) for path in table["path"]]))

    @classmethod
    def from_folder(cls, folder: Path, params: Params) -> "LabeledPhotos":
        """Take the photos of a folder of class folders that the pipeline would use; the others are counted.

        Raises:
            ConvLensError: it is no such folder, or there are too few usable photos of a class.
        """
        listed = describe_photos(list_folder(folder), {})
        workers, kept = params.preprocess.num_workers, cache_folder() / CACHE
        manifest = scan_with_pictures(listed, params.validate_, num_workers=workers, cache=kept).manifest
        table = manifest[manifest["usable"]].reset_index(drop=True)
        if len(table) < len(manifest):
            causes = manifest.loc[~manifest["usable"], "cause"].value_counts().sort_index()
            told = ", ".join(f"{count:,} {cause}" for cause, count in causes.items())
            say(f"{len(manifest) - len(table):,} of {len(manifest):,} photos are left out: {told}.")
        return cls._of(table, group_duplicates(table, params.preprocess))

    @classmethod
    def _of(cls, table: pd.DataFrame, groups: pd.Series) -> "LabeledPhotos":
        labels, classes = pd.factorize(table["label"], sort=True)
        numbers = pd.factorize(groups)[0]
        distinct = pd.DataFrame({"label": labels, "group": numbers}).drop_duplicates()["label"].value_counts()
        if few := [f"{distinct[label]} of {name}" for label, name in enumerate(classes) if distinct[label] < 2]:
            raise ConvLensError(
                "Expected at least two photos of every class that are no near-duplicates, so that one can be learnt "
                f"from while another is asked. Received: {', '.join(few)}. Add photos, or take the class out."
            )
        if len(classes) < 2:
            raise ConvLensError(f"Expected photos of at least two classes that can be used. Received: {[*classes]}.")
        return cls(tuple(table["path"]), tuple(table["sha256"]), labels.astype(np.int64), numbers, tuple(classes))

    def deal_folds(self, seed: int) -> np.ndarray:
        """Deal them out, int64 (num_photos,) from 0: every class evenly, near-duplicates in one fold."""
        return deal_folds(self.labels, self.groups, count=NUM_FOLDS, seed=seed)


class DecodedPhotos:
    """Photos that are decoded when asked for, as the pipeline decodes them: uint8 (num_photos, side, side, 3)."""

    def __init__(self, paths: Sequence[str], settings: LoaderSettings, num_workers: int) -> None:
        self._paths, self._settings, self._num_workers = paths, settings, num_workers
        self.digests = [""] * len(paths)  # of the bytes that were decoded

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        paths = [self._paths[row] for row in rows]
        photos = []
        for row, (photo, digest) in zip(
            rows, decode_photos(paths, self._settings, num_workers=self._num_workers), strict=True
        ):
            self.digests[row] = digest
            photos.append(photo)
        return np.stack(photos)


# --- A backbone and its features of the photos ---

USUAL_SIZE = 224  # pixels; what most networks of keras.applications were trained on
NUM_TIMED = 3  # batches, of which the quickest counts


@dataclass(frozen=True)
class BackboneChoice:
    """A backbone that can be chosen: the group `model.transfer` with it, and the side of its pictures in pixels."""

    transfer: TransferParams
    image_size: int

    @property
    def name(self) -> str:
        """Name of the backbone."""
        return self.transfer.backbone


def choose_backbone(text: str, base: TransferParams, *, image_size: int | None = None) -> BackboneChoice:
    """Make a choice of `NAME` or `NAME=FILE`, a file of weights.

    Args:
        text: one of `LITE_NETWORKS`, several of them joined by `+`, or a network of keras.applications.
        base: the group `model.transfer`, for what is not said.
        image_size: side in pixels; None takes what the backbone was trained on, as far as known.

    Raises:
        ConvLensError: there is no such backbone, or no such file.
    """
    name, _, file = text.partition("=")
    digest, path = None, Path(repository_root()) / Path(file).expanduser()
    if file:
        if not path.is_file():
            raise ConvLensError(f"Expected NAME=FILE with a file of weights. Received: {text}, and there is no {path}.")
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    values = {"backbone": name, "weights": file or "imagenet", "weights_sha256": digest, "dropout": 0.0}
    transfer = TransferParams.model_validate({**base.model_dump(), **values})
    parts = [part for part, _ in list_parts(transfer)]
    for part in set(parts) - set(LITE_NETWORKS):
        find_builder(part)
    own = max(LITE_NETWORKS[part].image_size if part in LITE_NETWORKS else USUAL_SIZE for part in parts)
    return BackboneChoice(transfer, image_size or own)


@dataclass(frozen=True)
class PhotoFeatures:
    """What a backbone makes of photos.

    Attributes:
        values: float32 (num_photos, channels).
        seconds: of the processor, that the network takes for 1,000 photos here, without decoding them.
        megabytes: of its weights.
    """

    values: np.ndarray
    seconds: float
    megabytes: float


def compute_features(choice: BackboneChoice, photos: LabeledPhotos, params: PreprocessParams) -> PhotoFeatures:
    """Compute the features of photos as they are, or read those that an earlier call has kept.

    They are kept by the digests of the files, so that a later call decodes nothing, and as a training keeps them.

    Args:
        choice: the backbone.
        photos: files.
        params: the group `preprocess`: how photos are resized, and the number of threads that decode.

    Raises:
        ConvLensError: a photo cannot be read any more, weights cannot be had, or pictures are too small.
    """
    settings = LoaderSettings(choice.image_size, params.keep_aspect, params.resampling)

    @functools.cache
    def build() -> tuple[keras.Model, np.ndarray]:
        with hold_stderr():
            network = build_extractor(choice.transfer, image_size=choice.image_size)
            return network, np.array([_time_network(network), 4e-6 * network.count_params()], np.float32)

    def compute(paths: Sequence[str]) -> Iterator[tuple[np.ndarray, str]]:
        if not paths:
            return
        network, costs = build()
        decoded = DecodedPhotos(paths, settings, params.num_workers)
        rows = extract_features(network, choice.transfer, decoded, folder=cache_folder())[0]
        for row, digest in zip(rows, decoded.digests, strict=True):
            yield np.concatenate([row, costs]), digest

    weights = [LITE_NETWORKS[name].sha256 for name, _ in list_parts(choice.transfer) if name in LITE_NETWORKS]
    found = map_cached(
        [Photo(path, digest) for path, digest in zip(photos.paths, photos.digests, strict=True)],
        photos.paths,
        compute,
        folder=cache_folder() / CACHE,
        name=f"{choice.name}_{choice.image_size}",
        codec=Codec(np.ndarray.tobytes, lambda content: np.frombuffer(content, np.float32)),
        depends_on=(settings, weights, choice.transfer.weights_sha256, keras.version()),
    )
    table = np.stack([row for row, _ in found])
    seconds, megabytes = np.median(table[:, -2:], axis=0)  # each row says what its own call measured
    return PhotoFeatures(table[:, :-2], float(seconds), float(megabytes))


def _time_network(network: keras.Model) -> float:
    """Measure the processor seconds for 1,000 photos, which others at work hardly change; the first batch compiles."""
    photos = np.zeros((PHOTOS_AT_ONCE, *network.input_shape[1:]), np.float32)
    network.predict_on_batch(photos)
    seconds = []
    for _ in range(NUM_TIMED):
        began = time.process_time()
        network.predict_on_batch(photos)
        seconds.append(time.process_time() - began)
    return 1000 * min(seconds) / PHOTOS_AT_ONCE


# --- Predictions of photos by last layers that were fitted without them ---

TRIED = PENALTIES[::2]


@dataclass(frozen=True)
class BackboneScore:
    """How a backbone did: its choice, out-of-fold probabilities float64 (num_photos, num_classes), and its costs."""

    choice: BackboneChoice
    probabilities: np.ndarray
    features: PhotoFeatures


def score_backbone(
    choice: BackboneChoice, photos: LabeledPhotos, params: PreprocessParams, *, seed: int = 0
) -> BackboneScore:
    """Predict every photo by a last layer fitted to the other folds.

    Raises:
        ConvLensError: see `compute_features`.
    """
    features, folds = compute_features(choice, photos, params), photos.deal_folds(seed)
    learnt = [np.flatnonzero(folds != fold) for fold in np.unique(folds)]
    probabilities = predict_held_out(features.values, photos, folds, learnt)
    return BackboneScore(choice, probabilities, features)


def predict_held_out(
    features: np.ndarray, photos: LabeledPhotos, folds: np.ndarray, learnt: Sequence[np.ndarray]
) -> np.ndarray:
    """Predict the photos of each fold by a last layer fitted to some of the others, as a training fits it.

    The penalty, and the factor on the logits, are those that suit the other folds best: what a fold is asked has no
    part in its own prediction.

    Args:
        features: float32 (num_photos, channels).
        photos: with the labels.
        folds: int64 (num_photos,), from 0.
        learnt: for each fold the rows to learn from, none of them in the fold.

    Returns:
        Probabilities float64 (num_photos, num_classes).
    """
    labels, num_classes = photos.labels, len(photos.classes)
    logits = np.empty((len(TRIED), len(labels), num_classes))
    for fold, rows in enumerate(learnt):
        asked = np.flatnonzero(folds == fold)
        scale = FeatureScale.measure(features[np.newaxis, rows])
        train, held_out = scale.apply(features[rows]), scale.apply(features[asked])
        if train.shape[0] < train.shape[1]:  # the fit lies in the span of the photos: the same with fewer channels
            basis = np.linalg.qr(train.T)[0]
            train, held_out = train @ basis, held_out @ basis
        for number, (kernel, bias) in enumerate(fit_path(train[np.newaxis], labels[rows], TRIED, num_classes)):
            logits[number, asked] = held_out @ kernel + bias
    probabilities = np.empty(logits.shape[1:])
    for fold in range(len(learnt)):
        others = folds != fold
        factors = [find_factor(given[others], labels[others]) for given in logits]
        losses = [
            measure_logits(factor * given[others], labels[others])[0]
            for factor, given in zip(factors, logits, strict=True)
        ]
        best = int(np.argmin(losses))
        probabilities[~others] = softmax(factors[best] * logits[best, ~others], axis=1)
    return probabilities


# --- Accuracy over the number of photos to learn from ---

NUM_DRAWS = 3
NUM_FITTED = 4  # sizes, the largest, that the curve is carried on from
NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy over the number of photos to learn from.

    Attributes:
        sizes: numbers of photos to learn from, each twice the one before; int64 (num_sizes,).
        accuracies: the mean over the draws, with Wilson's interval, one for each size.
        draws: the lowest and the highest accuracy of a draw, one for each size.
        gain: what twice the last size would add to the accuracy, with its interval.
    """

    sizes: np.ndarray
    accuracies: tuple[Interval, ...]
    draws: tuple[tuple[float, float], ...]
    gain: Interval


def measure_learning_curve(features: np.ndarray, photos: LabeledPhotos, *, seed: int = 0) -> LearningCurve:
    """Measure accuracy over the number of photos to learn from: nested subsets of what a fold leaves, several draws.

    Args:
        features: float32 (num_photos, channels).
        photos: whose they are.
        seed: of folds and draws.

    Raises:
        ConvLensError: the photos are too few to be halved.
    """
    labels, folds = photos.labels, photos.deal_folds(seed)
    most, least = len(labels) - np.bincount(folds).max(), 2 * len(photos.classes)
    sizes = np.array([most // 2**step for step in range(20) if most // 2**step >= least][::-1])
    if len(sizes) < 2:
        raise ConvLensError(
            f"Expected at least {3 * least:,} photos of these {len(photos.classes)} classes, so that half of those to "
            f"learn from are two of each class. Received: {len(labels):,}."
        )
    correct = np.empty((len(sizes), NUM_DRAWS, len(labels)))
    for draw in range(NUM_DRAWS):
        generator = np.random.default_rng([seed, draw])
        order = [rows[order_evenly(labels[rows], generator)] for rows in
                 (np.flatnonzero(folds != fold) for fold in np.unique(folds))]  # fmt: skip
        for place, size in enumerate(sizes):
            if size == most and draw:  # all there are: no other draw
                correct[place, draw] = correct[place, 0]
                continue
            learnt = [rows if size == most else rows[:size] for rows in order]
            predicted = predict_held_out(features, photos, folds, learnt).argmax(axis=1)
            correct[place, draw] = predicted == labels
        say(f"learning curve: draw {draw + 1} of {NUM_DRAWS}")
    means, by_draw = correct.mean(axis=1), correct.mean(axis=2)
    accuracies = [Interval(float(row.mean()), *wilson_interval(row.sum(), len(row))) for row in means]
    draws = tuple((float(row.min()), float(row.max())) for row in by_draw)
    return LearningCurve(sizes, tuple(accuracies), draws, estimate_gain(sizes, means, labels, seed=seed))


def order_evenly(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Order rows by chance so that the first n have the classes in about the shares of all, for every n."""
    shuffled = generator.permutation(len(labels))
    within = pd.Series(labels[shuffled]).groupby(labels[shuffled]).cumcount().to_numpy()
    order: np.ndarray = shuffled[np.argsort((within + 0.5) / np.bincount(labels)[labels[shuffled]], kind="stable")]
    return order


def estimate_gain(sizes: np.ndarray, correct: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> Interval:
    """Estimate what twice the photos would add to the accuracy, if errors go on falling as a power of their number.

    The interval is that of photos drawn anew; where all are classified correctly, what is left to gain is Wilson's
    bound of the errors.

    Args:
        sizes: numbers of photos to learn from, (num_sizes,).
        correct: share of the draws in which each photo was classified correctly, float64 (num_sizes, num_photos).
        labels: int64 (num_photos,).
        seed: of the resamples.

    Source: Hestness et al., Deep Learning Scaling is Predictable, Empirically (2017).
    """
    num_photos = len(labels)
    if correct[-1].all():
        return Interval(0.0, 0.0, 1 - wilson_interval(num_photos, num_photos)[0])
    logarithms = np.log2(sizes[-NUM_FITTED:])
    centered = logarithms - logarithms.mean()

    def extrapolate(weights: np.ndarray) -> np.ndarray:
        errors = weights @ (1 - correct[-NUM_FITTED:]).T / num_photos
        slopes = np.log2(errors + 0.5 / num_photos) @ centered / (centered @ centered)
        return np.asarray(errors[:, -1] * (1 - 2**slopes))

    value = float(extrapolate(np.ones((1, num_photos)))[0])
    blocks = draw_weights(labels, num_resamples=NUM_RESAMPLES, seed=seed)
    return Interval(value, *corrected_range(value, np.concatenate([extrapolate(each) for each in blocks]), 0.95))
