"""The page under real keys and a real pointer, in Chromium: every view, its accessibility, and the sandbox."""

import re
from pathlib import Path
from typing import Any

import pytest
from map_pages import EVERY, contested_page, page_inputs
from page_visits import Visit, find_violations, text_of

TABS = ("answer", "filters", "filter", "cell", "place", "regions", "bench", "trust", "layers")


def test_every_view_opens_without_a_complaint_or_a_request(visit: Visit) -> None:
    page = visit.open()
    for tab in TABS:
        visit.turn(tab)
        assert page.locator(".view:visible").count() == 1, tab
        assert page.locator(f"#view-{tab}").is_visible(), tab
    outside = [url for url in visit.requests if not url.startswith(("data:", "blob:", "about:", visit.path.as_uri()))]
    assert (visit.complaints, outside) == ([], [])


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("light", 320), ("dark", 1280)])
def test_every_view_is_accessible(browser: Any, path: Path, scheme: str, width: int) -> None:
    visit = Visit(browser, path, color_scheme=scheme, reduced_motion="reduce")
    page = visit.open()
    page.set_viewport_size({"width": width, "height": 900})
    rules = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}  # the rest is the same in the dark
    found = {}
    for tab in TABS:
        visit.turn(tab)
        found[tab] = find_violations(page, **rules)
    page.close()
    assert {tab: wrong for tab, wrong in found.items() if wrong} == {}


def test_tabs_answer_to_keys_and_the_address_keeps_them(visit: Visit) -> None:
    page = visit.open()
    page.focus("#tab-answer")
    page.keyboard.press("End")
    page.wait_for_selector("html[data-ready=layers]", state="attached")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("html[data-ready=answer]", state="attached")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("location.hash === '#tab=layers'")
    assert page.evaluate("document.activeElement.id") == "tab-layers"


def test_photos_are_chosen_with_arrow_keys(visit: Visit) -> None:
    page = visit.open()
    assert text_of(page, "#view-answer .big") == "Cats 80 %"
    page.focus(".photo-choice[aria-checked=true]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#view-answer .badge.failed")
    assert text_of(page, "#view-answer .badge") == "wrong: the label is dogs"
    assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"


def test_the_announced_answer_is_the_one_that_is_explained(browser: Any, tmp_path: Path) -> None:
    written = tmp_path / "feature_maps.html"
    written.write_text(contested_page(), encoding="utf-8")
    visit = Visit(browser, written)
    page = visit.open()
    answer, sure = text_of(page, "#view-answer .big").lower().split(maxsplit=1)
    assert re.search(r": ([^.]*)\. Evidence", text_of(page, "#view-answer .note"))[1].split(", ")[0] < "50 %" < sure
    assert text_of(page, "#view-answer .lead").startswith(f"The network says {answer}, {sure}")
    for card in page.locator("#view-answer .evidence").all():
        assert f"for “{answer}”" in card.inner_text()
        assert f"against “{answer}”" in card.inner_text()
    page.locator("#view-answer .evidence .stage").last.hover()
    page.wait_for_function("document.querySelectorAll('#view-answer .readout')[1].textContent.startsWith('Without')")
    readout = page.locator("#view-answer .readout").last.inner_text().replace("\u00a0", " ")
    before = re.match(rf"Without this box: “{answer}” ([\d.]+) %", readout)
    assert f"{int(float(before[1]) + 0.5)} %" == sure
    page.close()


def test_a_part_and_its_chart_have_one_sign(visit: Visit) -> None:
    page = visit.open("tab=regions")
    for part in ("left_ear", "tongue"):
        page.click(f"#view-regions .pill[data-region={part}]")
        page.wait_for_selector(f"#view-regions .pill[data-region={part}][aria-pressed=true]")
        words = text_of(page, "#view-regions .region-words").replace("\u2212", "-")
        before, after = map(float, re.search(r"“cats” ([\d.]+) % → ([\d.]+) %", words).groups())
        shown = text_of(page, "#view-regions .interval-text").replace("\u2212", "-")
        assert float(shown.split()[0]) == pytest.approx(after - before, abs=0.11)


def test_a_tile_opens_by_key_and_closes_by_escape(visit: Visit) -> None:
    page = visit.open("tab=filters")
    first, second = page_inputs(max_filters=EVERY).encoded_blocks[0]["shown"][:2]
    page.focus("#block-0 .tile >> nth=0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#block-0 .tile[aria-selected=true]")
    assert text_of(page, ".map-title").endswith(f"filter {second}")
    page.click("#viewer .previous")
    page.wait_for_function(f"document.querySelector('.map-title').textContent.endsWith('filter {first}')")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer:not(.open)")


def test_a_cell_is_worked_out_where_the_pointer_is_and_by_keys(visit: Visit) -> None:
    page = visit.open("tab=cell")
    block = page_inputs(max_filters=EVERY).encoded_blocks[0]
    caption = "document.querySelector('#view-cell figure:nth-child(2) figcaption')"
    box = page.locator(".map-canvas").bounding_box()
    rows, columns = next(step["shape"] for step in block["steps"] if step["name"] == block["response"])
    page.mouse.move(box["x"] + 1.5 * box["width"] / columns, box["y"] + 2.5 * box["height"] / rows)
    page.wait_for_function(f"{caption}.textContent.includes('Row 2, column 1')")
    page.focus(".map-canvas")
    page.keyboard.press("ArrowDown")
    page.wait_for_function(f"{caption}.textContent.includes('Row 3, column 1')")
    assert "The same" in text_of(page, "#view-cell .check")
    assert page.locator("#view-cell .chain li").count() == len(block["steps"]) + bool(block["arithmetic"]["bias"])


def test_the_address_opens_a_step_of_a_layer_and_every_filter_is_drawn(visit: Visit) -> None:
    blocks = page_inputs(max_filters=EVERY).encoded_blocks
    page = visit.open(f"tab=filters&photo=1&view=before&block=conv_2&filter={blocks[1]['shown'][0]}")
    page.wait_for_selector("html[data-drawn=true]", state="attached")
    tiles = page.locator("[role=option]").evaluate_all("all => all.map((one) => one.ariaLabel)")
    named = [name for name in tiles if name and re.match(r"Filter \d+ of \w+, normalization", name)]
    assert len(named) == sum(len(block["shown"]) for block in blocks)
    assert "The network says cats, 90\u00a0%, but the label is dogs" in page.content().replace("&nbsp;", "\u00a0")
    assert visit.complaints == []


def test_a_place_names_its_filters(visit: Visit) -> None:
    page = visit.open("tab=place&point=3,5")
    assert "Row 5, column 3" in text_of(page, "#view-place .readout")
    page.focus("#view-place .stage")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_function("document.querySelector('#view-place .readout').textContent.includes('Row 5, column 4')")
    page.locator("#view-place .filter-row").first.click()
    page.wait_for_selector("html[data-ready=filter]", state="attached")


def test_a_box_is_drawn_by_pointer_moved_by_keys_and_typed(visit: Visit) -> None:
    page = visit.open("tab=regions")
    box = page.locator("#view-regions .stage").bounding_box()
    height, width = page_inputs(max_filters=EVERY).picture_shape
    at = lambda x, y: (box["x"] + x * box["width"] / width, box["y"] + y * box["height"] / height)  # noqa: E731
    page.mouse.move(*at(2.4, 3.4))
    page.mouse.down()
    page.mouse.move(*at(9.6, 8.6), steps=4)
    page.mouse.up()
    read = "[...document.querySelectorAll('.box-numbers input')].map((input) => Number(input.value)).join()"
    page.wait_for_function(f"{read} === '2,3,10,9'")
    page.focus("#view-regions .stage")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{read} === '3,3,11,9'")
    page.keyboard.press("Shift+ArrowDown")
    page.wait_for_function(f"{read} === '3,3,11,10'")
    page.fill(".box-numbers input >> nth=0", "5")
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash.includes('box=5%2C3%2C11%2C10')")
    page.wait_for_function(
        "document.querySelector('.region-words').textContent.includes('19 random boxes of the same size')"
    )
    assert text_of(page, "#view-regions .region-words").startswith(
        "Your box covers 16 % of the photo. Without it: “cats” 80.0 % → "
    )


def test_the_address_keeps_the_part_and_the_step_that_is_worked_out(visit: Visit) -> None:
    page = visit.open("tab=regions")
    page.click("#view-regions .pill[data-region=tongue]")
    page.wait_for_function("location.hash.includes('part=tongue')")
    page = visit.open("tab=regions&part=tongue")
    assert page.get_attribute("#view-regions .pill[data-region=tongue]", "aria-pressed") == "true"
    page = visit.open("tab=cell")
    page.locator("#view-cell .choice", has_text="convolution").first.click()
    page.wait_for_function("location.hash.includes('step=0')")
    page = visit.open("tab=cell&step=0")
    assert "worked out here, like this whole map" in text_of(page, "#view-cell .check")
    assert page.locator("#view-cell .chain li").count() == 1


def test_maps_that_are_not_stored_are_drawn_when_they_are_asked_for(visit: Visit) -> None:
    page = visit.open("tab=filters")
    after = page.get_attribute("#block-1 .tile >> nth=0", "aria-label")
    page.locator("#choose-view .choice", has_text="Convolution").click()
    page.wait_for_function(
        "document.querySelector('#block-1 .tile').getAttribute('aria-label').includes(', convolution: highest')"
    )
    assert "ReLU" in after
    assert visit.complaints == []


def test_the_bench_computes_what_the_lecture_says(visit: Visit) -> None:
    page = visit.open("tab=bench")
    bench = page.locator("#view-bench .card").first
    bench.locator("[role=grid]").nth(1).locator("td").nth(5).hover()
    assert "10·1 + 0·(−1) + 10·1 + 0·(−1) + 10·1 + 0·(−1) = 30" in text_of(page, "#view-bench .lecture-readout")
    bench.locator(".choice", has_text="Turned").click()
    page.wait_for_function("document.querySelector('#view-bench .lecture-readout').textContent.includes('= 0.')")
    bench.locator("[aria-label=Stride] .choice", has_text="3").click()
    assert "⌊(6 + 2·0 − 3) / 3⌋ + 1 = 2" in text_of(page, "#view-bench .formula")


@pytest.mark.parametrize("size", [(1366, 768), (1440, 900)])
def test_nothing_is_cut_off_and_what_was_clicked_is_in_sight(browser: Any, path: Path, size: tuple[int, int]) -> None:
    visit = Visit(browser, path)
    page = visit.open("tab=filters")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.locator("#block-0 .tile").first.click()
    for part in (".map-title", ".map-facts", ".to-card", ".to-cell", "#viewer .stage"):
        page.wait_for_selector(part)
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= size[1], part
    visit.turn("layers")
    hidden = "all => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.className)"
    assert page.locator("#view-layers .scroll").evaluate_all(hidden) == []
    page.close()


@pytest.mark.parametrize("width", [320, 390, 800, 1366])
def test_every_tab_can_be_seen(browser: Any, path: Path, width: int) -> None:
    visit = Visit(browser, path)
    page = visit.open()
    page.set_viewport_size({"width": width, "height": 844})
    boxes = [tab.bounding_box() for tab in page.locator("[role=tab]").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    page.close()


def test_a_page_speaks_of_its_own_photos_only(browser: Any, tmp_path: Path) -> None:
    written = tmp_path / "feature_maps.html"
    written.write_text(contested_page(), encoding="utf-8")
    words = set(re.findall(r"\w+", Visit(browser, written).open().inner_html("body").split("<script")[0].lower()))
    assert not words & {"animal", "animals", "ear", "ears", "eye", "eyes", "tongue", "fur", "furry"}


def test_the_page_lives_in_a_sandbox_without_storage_or_address(browser: Any, path: Path, tmp_path: Path) -> None:
    frame = tmp_path / "frame.html"
    inner = path.read_text(encoding="utf-8").replace("&", "&amp;").replace('"', "&quot;")
    frame.write_text(
        f'<iframe sandbox="allow-scripts" srcdoc="{inner}" width="1200" height="800"></iframe>', encoding="utf-8"
    )
    visit = Visit(browser, frame)
    visit.page.goto(frame.as_uri())
    inside = visit.page.frame_locator("iframe")
    inside.locator("html[data-ready=answer]").wait_for(state="attached")
    inside.locator("#tab-filters").click()
    inside.locator("html[data-drawn=true]").wait_for(state="attached")
    inside.locator("#tab-cell").click()
    inside.locator("html[data-ready=cell]").wait_for(state="attached")
    assert inside.locator("a[href]:not([href^='#'])").count() == 0
    assert "Report: open report.html" in " ".join(inside.locator("header").inner_text().split())
    visit.page.close()
    assert visit.complaints == []


@pytest.mark.parametrize("width", [320, 390, 1280])  # 320: what WCAG 2 asks for
def test_no_view_is_wider_than_the_screen(browser: Any, path: Path, width: int) -> None:
    visit = Visit(browser, path)
    page = visit.open()
    page.set_viewport_size({"width": width, "height": 844})
    for tab in TABS:
        visit.turn(tab)
        assert page.evaluate("document.documentElement.scrollWidth") == width, tab
    page.close()
