"""The page in a real browser, opened from disk: it draws everything and complains about nothing."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from map_pages import page_inputs, page_text

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--virtual-time-budget=8000", "--window-size=1400,9000",
         "--enable-logging=stderr")  # fmt: skip


@pytest.mark.skipif(BROWSER is None, reason="No Chromium or Chrome here; the page is opened with it.")
def test_page_opens_from_disk_and_draws_every_filter(tmp_path: Path) -> None:
    page = tmp_path / "feature_maps.html"
    page.write_text(page_text(), encoding="utf-8")
    first = page_inputs().encoded_blocks[1]["shown"][0]
    address = f"{page.as_uri()}#tab=filters&photo=1&view=before&block=conv_2&filter={first}"
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert 'data-drawn="true"' in done.stdout, done.stderr
    assert "CONSOLE" not in done.stderr
    num_shown = sum(len(block["shown"]) for block in page_inputs().encoded_blocks)
    tiles = re.findall(r'role="option"[^>]*aria-label="Filter \d+ of \w+, normalization', done.stdout)
    assert len(tiles) == num_shown
    assert "The network says cats, 90&nbsp;%, but it is dogs." in done.stdout
