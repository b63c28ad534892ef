"""Prepared photos as `preprocess` writes them, painted by a test."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd


def write_prepared(
    folder: Path, images: dict[str, np.ndarray], labels: dict[str, np.ndarray], classes: Sequence[str]
) -> Path:
    """Write uint8 photos (N, size, size, 3) and int64 labels (N,) by split; paths are `split/number.png`."""
    rows, counts = [], {}
    for split, photos in images.items():
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images-00000.npy", photos)
        np.save(folder / split / "labels.npy", labels[split])
        counts[split] = {name: int((labels[split] == index).sum()) for index, name in enumerate(classes)}
        rows += [
            {"path": f"{split}/{row}.png", "label": classes[label], "split": split, "row": row}
            for row, label in enumerate(labels[split])
        ]
    digests = [hashlib.sha256(row["path"].encode()).hexdigest() for row in rows]
    splits = pd.DataFrame(rows).assign(width=20, height=20, sha256=digests)
    splits.to_csv(folder / "splits.csv", index=False)
    size = next(iter(images.values())).shape[1]
    card = {"classes": list(classes), "image_size": size, "keep_aspect": False, "resampling": "bilinear",
            "counts": counts, "digest": "d" * 64, "source": "photos"}  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))
    return folder
