from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from external_model import make_reference

from convlens.errors import ConvLensError
from convlens.metrics.drift import (
    ARRAYS,
    FORMER_NAME,
    REFERENCE,
    ReferenceStatistics,
    gather_statistics,
    round_features,
)


def test_reference_statistics_survive_their_file(tmp_path: Path) -> None:
    given = make_reference()
    path = given.save(tmp_path)
    content = path.read_bytes()
    for name in (REFERENCE, FORMER_NAME):  # the same file under the name that earlier versions gave it
        found = ReferenceStatistics.load(path.rename(tmp_path / name).parent)
        path = tmp_path / name
        assert (found.key, found.classes, found.settings, found.metrics) == (
            given.key, given.classes, given.settings, given.metrics,
        )  # fmt: skip
        for array in ARRAYS:
            assert getattr(found, array).dtype == getattr(given, array).dtype
            assert np.array_equal(getattr(found, array), getattr(given, array))
        assert list(found.statistics) == list(given.statistics)
        assert np.array_equal(found.statistics["brightness"], given.statistics["brightness"])
    assert make_reference().save(tmp_path).read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_what_are_no_reference_statistics_is_told(content: bytes | None, tmp_path: Path) -> None:
    path = make_reference().save(tmp_path)
    path.write_bytes(path.read_bytes()[:500] if content is None else content)
    with pytest.raises(ConvLensError, match=r"Expected reference statistics of training photos in .*reference\.npz"):
        ReferenceStatistics.load(tmp_path)
    path.unlink()
    with pytest.raises(ConvLensError, match=r"Received: nothing there\. Run `dvc repro`"):
        ReferenceStatistics.load(tmp_path)


def test_one_in_a_hundred_held_out_photos_is_unlike() -> None:
    reference = replace(make_reference(), held_out_distances=np.arange(1.0, 301.0))
    assert (reference.held_out_distances > reference.unlike_above).sum() == 3


def test_a_color_is_unlike_grays() -> None:
    reference = make_reference()
    gray, red = reference.measure_distances(np.array([[0.5, 0.5, 0.5], [0.9, 0.1, 0.1]]))
    assert gray < reference.unlike_above < red


def test_features_of_a_photo_do_not_depend_on_the_others() -> None:
    features = np.random.default_rng(0).random((5, 8))
    assert np.array_equal(round_features(features)[:1], round_features(features[:1]))
    assert round_features(features).dtype == np.float16


def test_statistics_follow_the_photos() -> None:
    manifest = pd.DataFrame({
        "path": ["a", "b"], "brightness": [0.1, 0.2], "contrast": 0.0, "sharpness": 1.0, "aspect": 2.0,
        "width": [1000, 2000], "height": [1000, 500],
    })  # fmt: skip
    found = gather_statistics(pd.DataFrame({"path": ["b", "a"]}), manifest)
    assert found["brightness"].tolist() == [np.float32(0.2), np.float32(0.1)]
    assert found["megapixels"].tolist() == [1.0, 1.0]
