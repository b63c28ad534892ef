"""Data-set cards: small YAML files that say how to obtain photos."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from convlens.errors import ConvLensError
from convlens.params import Group, parse_group, read_yaml
from convlens.photos.painting import PaintingRecipe

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="Names files too.")]
Licence = Annotated[str, Field(description="Under which terms the pictures may be used.")]


class PaintedCard(Group):
    """A data set that the painter draws."""

    kind: Literal["painted"]
    name: Name
    licence: Licence
    recipe: PaintingRecipe


class UrlCard(Group):
    """A data set to be downloaded: an archive of class folders."""

    kind: Literal["url"]
    name: Name
    licence: Licence
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
    licence: Licence
    address: str = Field(pattern=r"^(s3|gs)://[^/@?#]+(/[^?#]*)?$", description="Such as s3://bucket/photos.")


Card = PaintedCard | UrlCard | StoreCard


def read_card(path: Path) -> Card:
    """Read a card.

    Raises:
        ConvLensError: not a card, or a field is unknown, missing or out of range.
    """
    values = read_yaml(path)
    kinds: dict[str, type[Card]] = {"painted": PaintedCard, "url": UrlCard, "store": StoreCard}
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ConvLensError(f"Expected a card with kind: painted, url or store in {path}. Received: {kind!r}.")
    return parse_group(kinds[kind], values, where=str(path))
