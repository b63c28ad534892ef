"""Parameters that train a tiny network on tiny photos, for what runs whole trainings."""

from typing import Any

from photo_files import ROOT

from convlens.params import Params, TrainingSize, load_params


def small_params(**train: Any) -> Params:
    """Those of params.yaml at 40 pixels, with four filters and batches of eight, and what is given of `train`."""
    params = load_params(ROOT / "params.yaml")
    sizes = (TrainingSize(until=1.0, size=32),)
    residual = params.model.residual.model_copy(update={"width": 4, "training_sizes": sizes})
    changes = {
        "preprocess": params.preprocess.model_copy(update={"image_size": 40, "num_workers": 1}),
        "model": params.model.model_copy(update={"residual": residual}),
        "train": params.train.changed(**{"batch_size": 8, "precision": "float32", **train}),
    }
    return params.model_copy(update=changes)
