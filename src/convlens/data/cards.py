"""Data-set cards: small YAML files that say how to obtain photos."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from convlens.data.loader import is_address
from convlens.data.synthetic.recipe import SyntheticRecipe
from convlens.errors import ConvLensError
from convlens.params import Group, parse_group, read_yaml

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="Names files too.")]
License = Annotated[str, Field(description="Under which terms the pictures may be used.")]


class SyntheticCard(Group):
    """A data set that the painter draws."""

    kind: Literal["synthetic"]
    name: Name
    license: License
    recipe: SyntheticRecipe


class UrlCard(Group):
    """A data set to be downloaded: an archive of class folders."""

    kind: Literal["url"]
    name: Name
    license: License
    url: str = Field(pattern=r"^https?://")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="Digest of the archive; without it only its size is checked, and the digest shown."
    )
    bytes: int | None = Field(default=None, ge=1, description="Size of the archive.")
    homepage: str | None = None

    @model_validator(mode="after")
    def _be_checkable(self) -> "UrlCard":
        if self.sha256 is None and self.bytes is None:
            raise ValueError("Expected sha256 or bytes, so that the download can be checked. Received: neither")
        return self


class StoreCard(Group):
    """Photos in an object store, listed and read where they are."""

    kind: Literal["store"]
    name: Name
    license: License
    address: str = Field(pattern=r"^(s3|gs)://[^/@?#]+(/[^?#]*)?$", description="Such as s3://bucket/photos.")


Card = SyntheticCard | UrlCard | StoreCard


def read_card(path: Path) -> Card:
    """Read a card.

    Raises:
        ConvLensError: not a card, or a field is unknown, missing or out of range.
    """
    values = read_yaml(path)
    kinds: dict[str, type[Card]] = {"synthetic": SyntheticCard, "url": UrlCard, "store": StoreCard}
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ConvLensError(f"Expected a card with kind: synthetic, url or store in {path}. Received: {kind!r}.")
    return parse_group(kinds[kind], values, where=str(path))


def find_address(source: str) -> str:
    """The address that `data.source` is, or that its card (kind: store) names; '' if the source is another one.

    Raises:
        ConvLensError: a card that is wrong.
    """
    if is_address(source):
        return source.rstrip("/")
    path = Path(source)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return ""
    card = read_card(path)
    return card.address.rstrip("/") if isinstance(card, StoreCard) else ""
