"""The pictures of docs/ are what the pages look like now."""

import hashlib
import importlib.util
import shutil
import sys

import pytest
from docs.blocks import ROOT
from PIL import Image, ImageChops
from ruamel.yaml import YAML

pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it drives the browser.")
MAX_BYTES = 160_000


def load_tool():
    spec = importlib.util.spec_from_file_location("pictures_tool", ROOT / "tools/pictures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pictures_tool"] = module
    spec.loader.exec_module(module)
    return module


TOOL = load_tool()
needs_browser = pytest.mark.skipif(
    not any(map(shutil.which, TOOL.BROWSERS)), reason="No Chromium or Chrome here; the pages are opened with it."
)


def shown(name: str) -> Image.Image:
    with Image.open(ROOT / "docs" / name) as kept:
        return kept.convert("RGB")


@pytest.fixture(scope="module")
def taken(reproduced) -> dict[str, Image.Image]:
    """The pictures of the tiny run's pages."""
    return TOOL.take_pictures(reproduced.folder / "reports", list(TOOL.PICTURES))


def test_all_pictures_are_there_and_small() -> None:
    assert {path.name for path in (ROOT / "docs").glob("*.png")} == set(TOOL.PICTURES)
    for name in TOOL.PICTURES:
        assert (ROOT / "docs" / name).stat().st_size <= MAX_BYTES, name


@needs_browser
@pytest.mark.parametrize("name", [name for name, picture in TOOL.PICTURES.items() if picture.any_run])
def test_a_picture_that_any_run_gives_is_current(name: str, taken) -> None:
    assert TOOL.difference(shown(name), taken[name]) <= TOOL.TOLERANCE


@needs_browser
def test_pictures_show_the_page_with_all_its_tabs(taken) -> None:
    """Whatever the network: a new tab makes the picture old."""
    for name, image in taken.items():
        with Image.open(ROOT / "docs" / name) as kept:
            assert kept.info[TOOL.TABS] == image.info[TOOL.TABS], "run `make pictures`"


@needs_browser
def test_the_picture_of_the_page_is_current() -> None:
    page = ROOT / "reports/feature_maps.html"
    if not TOOL.shows_synthetic() or not page.is_file() or not is_of_the_lock(page):
        pytest.skip("The pages of the default run, as dvc.lock has them, are not here; `make repro` makes them.")
    names = [name for name, picture in TOOL.PICTURES.items() if not picture.any_run]
    assert TOOL.list_old(ROOT / "docs", TOOL.take_pictures(page.parent, names)) == []


def is_of_the_lock(page) -> bool:
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    outputs = {output["path"]: output["md5"] for output in lock["stages"]["report"]["outs"]}
    return outputs["reports/feature_maps.html"] == hashlib.md5(page.read_bytes(), usedforsecurity=False).hexdigest()


def test_other_pictures_differ() -> None:
    bench = shown("bench.png")
    assert TOOL.difference(bench, bench) == 0
    assert TOOL.difference(bench, ImageChops.offset(bench, 1, 0)) <= TOOL.TOLERANCE  # letters a pixel further
    assert TOOL.difference(bench, ImageChops.invert(bench)) > TOOL.TOLERANCE
    assert TOOL.difference(bench, bench.resize((bench.width, bench.height * 2))) > TOOL.TOLERANCE


def run(*arguments: str):
    from click.testing import CliRunner

    return CliRunner().invoke(TOOL.main, arguments)


def test_the_check_names_the_pictures_that_are_old(tmp_path, monkeypatch) -> None:
    """What `weekly.yml` and `make ci` ask for; the browser is stood in for."""
    kept = {name: shown(name) for name in TOOL.PICTURES}
    monkeypatch.setattr(TOOL, "take_pictures", lambda _reports, names: {name: kept[name] for name in names})
    done = run("--check")
    assert (done.exit_code, done.output) == (0, "")
    kept["bench.png"] = ImageChops.invert(kept["bench.png"])
    done = run("--check")
    assert done.exit_code == 1
    assert done.output.startswith("`docs/bench.png` is not what its page looks like now: they differ by 0.")
    assert "feature_maps.png" not in done.output
    assert run("--check", "feature_maps.png").exit_code == 0


def test_other_photos_than_the_synthetic_ones_go_into_no_picture(tmp_path, monkeypatch) -> None:
    (tmp_path / "params.yaml").write_text("data: {source: ../photos}\n")
    assert TOOL.shows_synthetic()
    assert not TOOL.shows_synthetic(tmp_path)
    monkeypatch.setattr(TOOL, "shows_synthetic", lambda: False)
    monkeypatch.setattr(TOOL, "take_pictures", lambda *_: pytest.fail("no picture is taken"))
    assert (run("--check").exit_code, run("--check").output) == (0, "")
    done = run("--out", str(tmp_path))
    assert (done.exit_code, list(tmp_path.glob("*.png"))) == (1, [])
    assert "Expected data.source: data/cards/synthetic.yaml in params.yaml. Received: other photos." in done.output


def test_a_page_that_is_not_there_is_told(tmp_path) -> None:
    if not any(map(shutil.which, TOOL.BROWSERS)):
        pytest.skip("No Chromium or Chrome here.")
    with pytest.raises(Exception, match="Run `make repro`"):
        TOOL.take_pictures(tmp_path, ["bench.png"])
