"""A whole training from weights in a file: last layer first, then fine-tuned, and resumed after a kill without it."""

import hashlib

import keras
import numpy as np
import pytest
from small_training import cpu, tiny_photos, tiny_recipe

from convlens.training.checkpoints import Checkpoint
from convlens.training.fit import fit

SIZE = 32
PHOTOS = tiny_photos(8, SIZE)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    network = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    network.save_weights(tmp_path / "brought.weights.h5")
    return tmp_path


def recipe_of(path, **changes):
    backbone = {"backbone": "MobileNetV3Small", "weights": path.name, "frozen_fraction": 0.5, "fine_tune_rate": 0.1}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return tiny_recipe(
        "transfer",
        model={**backbone, "head": "trained", "weights_sha256": digest, **changes},
        **{"epochs": 2, "batch_size": 4, "optimizer": "adam", "learning_rate": 0.01},
        **{"schedule": "constant", "warmup_fraction": 0.0},
    )


def run(recipe, checkpoint, told):
    def on_epoch(report):
        told[int(report.values["epoch"])] = None

    return fit(
        recipe,
        PHOTOS,
        validation=PHOTOS,
        num_classes=2,
        runtime=cpu(),
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )


class Killed(Checkpoint):
    """Keeps what each epoch left, and ends the process after the first."""

    def save(self, state, get_weights):
        super().save(state, get_weights)
        raise KeyboardInterrupt


def test_frozen_then_fine_tuned_and_resumed_without_the_file(root):
    path = root / "brought.weights.h5"
    recipe = recipe_of(path)
    whole = run(recipe, Checkpoint(root / "whole"), {})
    assert [row["learning_rate"] for row in whole.history] == pytest.approx([0.01, 0.001])

    with pytest.raises(KeyboardInterrupt):
        run(recipe, Killed(root / "cut"), {})
    frozen = Checkpoint(root / "cut").load()
    brought = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    brought.load_weights(path)
    given = {value.tobytes() for value in brought.get_weights()}
    assert given <= {np.asarray(value).tobytes() for value in frozen.variables}  # nothing but the head has learnt

    path.unlink()
    told: dict[int, None] = {}
    resumed = run(recipe, Checkpoint(root / "cut"), told)
    assert list(told) == [2]
    assert resumed.history == whole.history
    for found, expected in zip(resumed.body.get_weights(), whole.body.get_weights(), strict=True):
        assert (found == expected).all()
    assert not given <= {value.tobytes() for value in whole.body.get_weights()}  # and then the backbone, too


@pytest.mark.parametrize("frozen_fraction", [1.0, 0.0])
def test_the_last_layer_is_fitted_first_and_what_follows_fine_tunes(root, monkeypatch, frozen_fraction):
    path = root / "brought.weights.h5"
    recipe = recipe_of(path, head="fitted", frozen_fraction=frozen_fraction, dropout=0.0)
    whole = run(recipe, Checkpoint(root / "whole"), {})
    fitted, *tuned = whole.history
    assert [row["learning_rate"] for row in whole.history] == pytest.approx([0.0, *[0.001] * len(tuned)])
    assert len(tuned) == (0 if frozen_fraction else 1)
    assert fitted["train_accuracy"] == fitted["validation_accuracy"] == 1
    assert np.isclose(fitted["train_loss"], fitted["validation_loss"])

    with pytest.raises(KeyboardInterrupt):
        run(recipe, Killed(root / "cut"), {})
    resumed = run(recipe, Checkpoint(root / "cut"), {})
    assert resumed.history == whole.history
    for found, expected in zip(resumed.body.get_weights(), whole.body.get_weights(), strict=True):
        assert (found == expected).all()
    kept = root / ".convlens" / "cache"
    assert [file.name.partition("-")[0] for file in kept.iterdir()] == ["features_MobileNetV3Small"]
    logits = keras.Model(whole.body.inputs[0], whole.body.output)(PHOTOS.images.astype(np.float32)).numpy()
    if frozen_fraction:  # the layer that was fitted to kept features is that of the whole network
        assert ((logits[:, 0] > 0) == PHOTOS.labels).all()
