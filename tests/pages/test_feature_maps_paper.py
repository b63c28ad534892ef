"""The feature-map page on paper, and what its numbers say they are of."""

from pathlib import Path
from typing import Any

from map_pages import EVERY, page_inputs
from page_visits import Visit, text_of


def test_paper_says_what_is_shown_and_has_no_buttons(browser: Any, path: Path) -> None:
    visit = Visit(browser, path)
    page = visit.open()
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 690, "height": 980})  # A4 within its margins
    for tab, shown in (("filter", ".picker select"), ("cell", ".picker select"), ("place", ".place-head h3")):
        page.evaluate("(tab) => document.getElementById(`tab-${tab}`).click()", tab)
        page.wait_for_selector(f"html[data-ready={tab}]", state="attached")
        view = f"#view-{tab}"
        assert page.locator(f"{view} {shown}").first.is_visible(), tab
        assert page.locator(f"{view} :is(.turner, .pill):visible").count() == 0, tab
        assert page.locator(f"{view} .choice:visible").evaluate_all("all => all.map(one => one.ariaChecked)") in (
            [], ["true"]), tab  # fmt: skip
        assert page.evaluate("document.documentElement.scrollWidth") == 690, tab
    page.close()


def test_numbers_say_how_many_photos_they_are_of(visit: Visit) -> None:
    page = visit.open("tab=filter")
    num = page_inputs(max_filters=EVERY).encoded_blocks[0]["facts"]["numProfilePhotos"]
    assert f"How often each value occurs on {num} held-out photos" in text_of(page, "#view-filter .card-main")
    visit.turn("place")
    assert "here, as a share of its highest on" in text_of(page, "#view-place .split-stage .note")
