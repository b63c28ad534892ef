import numpy as np
import pytest

from convlens.data.perturbations import (
    DIRECTIONS,
    add_noise,
    brighten,
    list_perturbations,
    list_places,
    occlude,
    place,
    resize,
    rotate,
    shift,
    stretch_contrast,
    turn_gray,
    zoom,
)
from convlens.params import RobustnessParams, load_params

SIDE = 24
PARAMS = load_params().robustness


def paint(num_photos: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_photos, SIDE, SIDE, 3), dtype=np.uint8)


def changed(params: RobustnessParams) -> dict[tuple[str, float, int], np.ndarray]:
    photos = paint()
    return {
        (each.name, each.strength, number): change(photos, np.arange(3))
        for each in list_perturbations(params)
        for number, change in enumerate(each.changes)
    }


@pytest.mark.parametrize(("down", "across"), DIRECTIONS)
@pytest.mark.parametrize("pixels", [0, 1, 7])
def test_a_shift_is_a_roll_where_the_photo_was_and_its_mirror_image_elsewhere(down, across, pixels):
    photos = paint()
    moved = shift(photos, pixels * down, pixels * across)
    rolled = np.roll(photos, (pixels * down, pixels * across), axis=(1, 2))
    inside = slice(pixels, SIDE - pixels)
    np.testing.assert_array_equal(moved[:, inside, inside], rolled[:, inside, inside])
    line = shift(np.arange(SIDE, dtype=np.uint8)[None, None, :, None].repeat(SIDE, 1).repeat(3, 3), 0, 2)
    assert line[0, 0, :4, 0].tolist() == [2, 1, 0, 1]


def test_a_rotation_by_90_degrees_turns_the_pixels():
    photos = paint()
    np.testing.assert_array_equal(rotate(photos, 90)[:, 1:-1, 1:-1], np.rot90(photos, axes=(1, 2))[:, 1:-1, 1:-1])
    np.testing.assert_array_equal(rotate(photos, 0), photos)


def test_a_rotation_brings_in_the_mirror_image_and_no_black():
    white = np.full((1, SIDE, SIDE, 3), 255, np.uint8)
    assert (rotate(white, 45) == 255).all()
    assert (zoom(white, 0.3) == 255).all()


def test_zoom_keeps_the_center_and_changes_the_size_of_a_square():
    photo = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    photo[:, 8:16, 8:16] = 255
    assert (zoom(photo, 0.5)[0, 10:14, 10:14] > 127).all()

    def area(factor: float) -> float:
        """Of the square itself; further out a small photo is followed by its mirror image."""
        return float((zoom(photo, factor)[:, 4:-4, 4:-4, 0] > 127).sum())

    assert area(1.0) == 64
    assert area(2.0) == 256
    assert area(0.5) == 16
    np.testing.assert_array_equal(zoom(photo, 1.0), photo)


def test_brightness_contrast_and_gray_have_closed_forms():
    photo = np.tile(np.array([100, 150, 200], np.uint8), (1, SIDE, SIDE, 1))
    assert brighten(photo, 0.1)[0, 0, 0].tolist() == [126, 176, 226]  # 25.5 more, halves to even
    assert brighten(photo, -1.0).max() == 0
    assert stretch_contrast(photo, 0.0)[0, 0, 0].tolist() == [150, 150, 150]
    assert stretch_contrast(photo, 2.0)[0, 0, 0].tolist() == [50, 150, 250]
    assert turn_gray(photo)[0, 0, 0].tolist() == [141, 141, 141]


def test_noise_has_its_deviation_and_depends_on_the_photo_alone():
    gray = np.full((2, 64, 64, 3), 128, np.uint8)
    noisy = add_noise(gray, np.array([5, 9]), 0.1, seed=3)
    assert abs((noisy.astype(float) - 128).std() - 25.5) < 0.5
    np.testing.assert_array_equal(add_noise(gray[:1], np.array([9]), 0.1, seed=3)[0], noisy[1])
    assert (add_noise(gray[:1], np.array([9]), 0.1, seed=4)[0] != noisy[1]).any()


def test_an_occluded_photo_hides_its_share_at_one_place_whatever_the_share():
    white = np.full((2, 40, 40, 3), 255, np.uint8)
    hidden = {share: (occlude(white, np.array([1, 2]), share, seed=0) == 128).all(axis=-1) for share in (0.04, 0.25)}
    assert hidden[0.04].sum(axis=(1, 2)).tolist() == [64, 64]
    assert hidden[0.25].sum(axis=(1, 2)).tolist() == [400, 400]
    assert (hidden[0.04][0] != hidden[0.04][1]).any()


def test_nine_places_hold_the_same_small_photo_on_its_mean_color():
    photos = paint()
    small = resize(photos, 12)
    found = [place(photos, 0.5, row, column) for row in range(3) for column in range(3)]
    corners = [(top, left) for top in (0, 6, 12) for left in (0, 6, 12)]
    for picture, (top, left) in zip(found, corners, strict=True):
        np.testing.assert_array_equal(picture[:, top : top + 12, left : left + 12], small)
    mean = np.rint(photos[0].mean(axis=(0, 1))).astype(np.uint8)
    np.testing.assert_array_equal(found[0][0, -1, -1], mean)
    listed = [(row, column, change(photos, np.arange(3))) for row, column, change in list_places(0.5)]
    assert [(row, column) for row, column, _ in listed] == [(row, column) for row in range(3) for column in range(3)]
    np.testing.assert_array_equal(np.stack([picture for _, _, picture in listed]), np.stack(found))


def test_every_strength_of_the_parameters_is_tried_and_leaves_its_input_alone():
    photos = paint()
    before = photos.copy()
    found = changed(PARAMS)
    names = [name for name, _, _ in found]
    expected = {name: len(getattr(PARAMS, name)) for name in
                ("scale", "brightness", "contrast", "blur", "noise", "jpeg", "occlusion")}  # fmt: skip
    expected |= {"shift": 4 * len(PARAMS.shift), "rotation": 2 * len(PARAMS.rotation), "flip": 1, "gray": 1}
    assert {name: names.count(name) for name in dict.fromkeys(names)} == expected
    assert all(pixels.shape == photos.shape and pixels.dtype == np.uint8 for pixels in found.values())
    assert all((pixels != photos).any() for pixels in found.values())
    np.testing.assert_array_equal(photos, before)


def test_the_same_parameters_give_the_same_pixels_and_an_empty_list_skips_a_kind():
    first, second = changed(PARAMS), changed(PARAMS)
    for key, pixels in first.items():
        np.testing.assert_array_equal(pixels, second[key])
    kinds = ("shift", "rotation", "scale", "brightness", "contrast", "blur", "noise", "jpeg", "occlusion")
    none = PARAMS.model_copy(update=dict.fromkeys(kinds, ()))
    assert [each.name for each in list_perturbations(none)] == ["flip", "gray"]


def test_stronger_blur_and_lower_quality_take_more_away():
    photos = paint()

    def loss(name: str) -> list[float]:
        found = [each for each in list_perturbations(PARAMS) if each.name == name]
        return [np.abs(each.changes[0](photos, np.arange(3)).astype(float) - photos).mean() for each in found]

    for name in ("blur", "jpeg"):
        assert loss(name) == sorted(loss(name))
        assert loss(name)[0] > 0
