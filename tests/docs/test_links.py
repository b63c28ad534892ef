"""What the documents link to is there: files, pictures, and the headings of other documents."""

import re

import pytest
from docs.blocks import ROOT, documents

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
DOCUMENTS = [*documents(), "CHANGELOG.md", "SECURITY.md"]


def anchors(text: str) -> set[str]:
    """The headings as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(file: str) -> list[str]:
    return LINK.findall(without_blocks((ROOT / file).read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", DOCUMENTS)
def test_links_lead_somewhere(file: str) -> None:
    lost = []
    for link in links(file):
        path, _, anchor = link.partition("#")
        if link.startswith(("http://", "https://")):
            continue
        target = (ROOT / file).parent / path if path else ROOT / file
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            lost.append(link)
    assert lost == []


def test_every_guide_and_picture_is_linked() -> None:
    linked = {((ROOT / file).parent / link.partition("#")[0]).resolve() for file in DOCUMENTS for link in links(file)}
    there = {path for kind in ("*.md", "*.png") for path in (ROOT / "docs").glob(kind)}
    assert {path.name for path in there - linked} == set()


def test_headings_are_named_as_github_does() -> None:
    assert anchors("# Two commands\n## What's `this`?\n```sh\n# no heading\n```\n") == {"two-commands", "whats-this"}
