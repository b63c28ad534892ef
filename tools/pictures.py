"""The documentation's pictures: parts of the pages that the pipeline makes of the synthetic data.

    make pictures                                       all of them, from reports/ of the default run
    python tools/pictures.py --reports reports --out docs
    python tools/pictures.py --check                    say which are old, as Markdown, and end with 1 if one is

Needs Chromium or Chrome. The synthetic photos are drawn by code, so no picture shows a real one: where `data.source`
names others, there is nothing to take or to check.
"""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser, sync_playwright
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SYNTHETIC = "data/cards/synthetic.yaml"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
NUM_COLORS = 128
GRID = 16  # pixels a side of the squares whose mean colors are compared: letters' edges do not count
TOLERANCE = 0.02  # mean difference of those, as a share of the full range
STRETCH = 1.1  # another font may break a line elsewhere
TABS = "Tabs"  # under which a picture keeps the names of its page's tabs


@dataclass(frozen=True)
class Picture:
    """A part of a page.

    Attributes:
        page: file below reports/.
        state: what follows `#` in its address.
        part: CSS selector of what is shown; empty for what the window shows.
        size: of the window, in pixels.
        any_run: whether it looks the same whatever the network and the photos are.
    """

    page: str
    state: str
    part: str = ""
    size: tuple[int, int] = (1280, 860)
    any_run: bool = False


PICTURES = {
    "feature_maps.png": Picture("feature_maps.html", "tab=filters"),
    "bench.png": Picture("feature_maps.html", "tab=bench", "#view-bench .card >> nth=0", (1100, 1000), any_run=True),
}


def take_pictures(reports: Path, names: list[str]) -> dict[str, Image.Image]:
    """Open the pages in a browser without a window and take the pictures.

    Raises:
        click.ClickException: there is no browser, or no page.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise click.ClickException(f"Expected one of {', '.join(BROWSERS)} on the PATH. Received: none. Install one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        taken = {name: take(browser, reports, PICTURES[name]) for name in names}
        browser.close()
    return taken


def take(browser: Browser, reports: Path, picture: Picture) -> Image.Image:
    """One picture of one page, light, without motion."""
    path = (reports / picture.page).resolve()
    if not path.is_file():
        raise click.ClickException(f"Expected {path}. Received: nothing there. Run `make repro`.")
    width, height = picture.size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light", reduced_motion="reduce")
    page.goto(f"{path.as_uri()}#{picture.state}")
    tab = picture.state.partition("tab=")[2].partition("&")[0]
    page.wait_for_selector(f"html[data-ready={tab}]" if tab else "html", state="attached")
    page.wait_for_timeout(500)  # canvases are drawn when they come into view
    shot = (page.locator(picture.part) if picture.part else page).screenshot(animations="disabled")
    tabs = page.locator("[role=tab]").all_inner_texts()
    page.close()
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    image.info[TABS] = ", ".join(tabs)
    return image


def difference(first: Image.Image, second: Image.Image) -> float:
    """How far two pictures differ: mean over squares and colors of the difference of their means, in 0..1.

    Pictures of other sizes are compared at the size of the first; 1 if they are of another shape.
    """
    ratio = max(max(a, b) / min(a, b) for a, b in zip(first.size, second.size, strict=True))
    columns, rows = (max(side // GRID, 1) for side in first.size)
    small = [
        np.asarray(image.convert("RGB").resize((columns, rows), Image.Resampling.BOX), dtype=float) / 255
        for image in (first, second)
    ]
    return 1.0 if ratio > STRETCH else float(np.abs(small[0] - small[1]).mean())


def shows_synthetic(root: Path = ROOT) -> bool:
    """Whether the pages show the synthetic photos; what a team's own photos look like goes into no picture."""
    params = YAML(typ="safe").load((root / "params.yaml").read_text(encoding="utf-8"))
    return bool(params["data"]["source"] == SYNTHETIC)


def list_old(kept: Path, taken: dict[str, Image.Image]) -> list[str]:
    """A sentence for each picture that is not what its page looks like now."""
    sentences = []
    for name, image in taken.items():
        with Image.open(kept / name) as old:
            differs = difference(old, image)
        if differs > TOLERANCE:
            sentences.append(
                f"`docs/{name}` is not what its page looks like now: they differ by {differs:.3f}, more than "
                f"{TOLERANCE}. `make pictures` takes it anew."
            )
    return sentences


def save(image: Image.Image, path: Path) -> None:
    """Write a small PNG with the names of its page's tabs."""
    facts = PngInfo()
    facts.add_text(TABS, image.info[TABS])
    image.quantize(NUM_COLORS, dither=Image.Dither.NONE).save(path, optimize=True, pnginfo=facts)
    click.echo(f"{path}: {path.stat().st_size / 1000:.0f} kB")


@click.command()
@click.option("--reports", type=click.Path(path_type=Path), default=ROOT / "reports", help="Folder of the pages.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "docs", help="Folder of the pictures.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if a picture there is old.")
@click.argument("names", nargs=-1, type=click.Choice(list(PICTURES)))
def main(reports: Path, out: Path, check: bool, names: tuple[str, ...]) -> None:
    """Make the pictures of the documentation anew, or those named."""
    if not shows_synthetic():
        if check:
            return
        raise click.ClickException(f"Expected data.source: {SYNTHETIC} in params.yaml. Received: other photos.")
    taken = take_pictures(reports, list(names or PICTURES))
    if check:
        old = list_old(out, taken)
        click.echo("\n\n".join(old), nl=bool(old))
        raise SystemExit(bool(old))
    for name, image in taken.items():
        save(image, out / name)


if __name__ == "__main__":
    main()
