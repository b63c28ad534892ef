from pathlib import Path
from typing import Any

import pytest
import yaml
from photo_files import ROOT

from convlens.data.sources import SyntheticCard, UrlCard, read_card
from convlens.errors import ConvLensError

SYNTHETIC: dict[str, Any] = {"kind": "synthetic", "name": "tiny", "license": "CC0-1.0", "recipe": {"num_photos": 8}}
URL: dict[str, Any] = {
    "kind": "url",
    "name": "pets",
    "license": "CC0-1.0",
    "url": "https://example.com/pets.zip",
    "sha256": "ab" * 32,
}


def write_card(folder: Path, values: Any) -> Path:
    path = folder / "card.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


def test_every_shipped_card_is_valid() -> None:
    kinds = {path.stem: type(read_card(path)) for path in (ROOT / "data" / "cards").glob("*.yaml")}
    assert kinds == {"synthetic": SyntheticCard, "cats-and-dogs-filtered": UrlCard}


def test_the_default_card_paints_about_1200_photos() -> None:
    card = read_card(ROOT / "data" / "cards" / "synthetic.yaml")
    assert isinstance(card, SyntheticCard)
    assert 1000 <= card.recipe.num_photos <= 1500


def test_cards_are_read(tmp_path: Path) -> None:
    painted = read_card(write_card(tmp_path, SYNTHETIC))
    assert isinstance(painted, SyntheticCard)
    assert painted.recipe.num_photos == 8
    url = read_card(write_card(tmp_path, {**URL, "bytes": 12}))
    assert isinstance(url, UrlCard)
    assert (url.url, url.sha256, url.bytes) == ("https://example.com/pets.zip", "ab" * 32, 12)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({**SYNTHETIC, "kind": "drawn"}, r"Expected a card with kind: synthetic, url or store in .*Received: 'drawn'"),
        ({**SYNTHETIC, "kind": ["synthetic"]}, r"Received: \['synthetic'\]"),
        ({"name": "x"}, "Received: None"),
        ("", "Received: None"),
        ("- a\n- b\n", "Received: None"),
        ("just words", "Received: None"),
        ("a: [", "Expected valid YAML"),
        ({**SYNTHETIC, "color": 1}, "unknown parameter 'color'"),
        ({**SYNTHETIC, "recipe": {"size": 3}}, "unknown parameter 'recipe.size'"),
        ({**SYNTHETIC, "recipe": {"num_photos": 0}}, "expected recipe.num_photos to be greater than or equal to 1"),
        (
            {**SYNTHETIC, "recipe": {"num_photos": "8"}},
            'expected recipe.num_photos to be a valid integer. Received: "8"',
        ),
        ({**SYNTHETIC, "recipe": {"num_photos": 1}}, "recipe: Expected num_photos >= 2"),
        ({**SYNTHETIC, "recipe": {"classes": ["cows"]}}, "recipe.classes: Expected each of .* at most once. Received"),
        ({**SYNTHETIC, "recipe": []}, r"expected recipe to be a group of parameters .*Received: \[\]"),
        ({key: value for key, value in SYNTHETIC.items() if key != "license"}, "'license' is missing"),
        ({**SYNTHETIC, "name": "../../evil"}, "expected name to be a text that matches"),
        ({**URL, "name": "a/b"}, "expected name to be a text that matches"),
        ({**URL, "url": "file:///etc/passwd"}, "expected url to be a text that matches"),
        ({**URL, "sha256": "abc"}, "expected sha256 to be a text that matches"),
        ({**URL, "sha256": None}, "Expected sha256 or bytes, so that the download can be checked. Received: neither"),
        ({**URL, "bytes": 0}, "expected bytes to be greater than or equal to 1"),
    ],
)
def test_broken_cards_are_told(values: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match=words) as caught:
        read_card(write_card(tmp_path, values))
    assert "card.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
