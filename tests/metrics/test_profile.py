from dataclasses import replace

import numpy as np
import pytest
from outside_model import make_profile

from convlens.errors import ConvLensError
from convlens.metrics.drift import ARRAYS, decode_profile, encode_profile, round_features


def test_a_profile_survives_its_file() -> None:
    profile = make_profile()
    found = decode_profile(encode_profile(profile), "profile.npz")
    assert (found.key, found.classes, found.settings, found.metrics) == (
        profile.key, profile.classes, profile.settings, profile.metrics,
    )  # fmt: skip
    for name in ARRAYS:
        assert getattr(found, name).dtype == getattr(profile, name).dtype
        assert np.array_equal(getattr(found, name), getattr(profile, name))
    assert list(found.statistics) == list(profile.statistics)
    assert np.array_equal(found.statistics["brightness"], profile.statistics["brightness"])


def test_the_same_profile_gives_the_same_bytes() -> None:
    assert encode_profile(make_profile()) == encode_profile(make_profile())


@pytest.mark.parametrize("content", [b"", b"no zip", encode_profile(make_profile())[:500]])
def test_what_is_no_profile_is_told(content: bytes) -> None:
    with pytest.raises(ConvLensError, match=r"Expected a profile of training photos in here\.npz"):
        decode_profile(content, "here.npz")


def test_one_in_a_hundred_held_out_photos_is_unlike() -> None:
    profile = replace(make_profile(), held_out_distances=np.arange(1.0, 301.0))
    assert (profile.held_out_distances > profile.unlike_above).sum() == 3


def test_a_color_is_unlike_grays() -> None:
    profile = make_profile()
    gray, red = profile.measure_distances(np.array([[0.5, 0.5, 0.5], [0.9, 0.1, 0.1]]))
    assert gray < profile.unlike_above < red


def test_features_of_a_photo_do_not_depend_on_the_others() -> None:
    features = np.random.default_rng(0).random((5, 8))
    assert np.array_equal(round_features(features)[:1], round_features(features[:1]))
    assert round_features(features).dtype == np.float16
