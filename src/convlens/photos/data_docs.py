"""Great Expectations' Data Docs made the same for the same data: no times, no random ids, no walkthrough films."""

import re
from pathlib import Path

TIMES = re.compile(r"(\?d=)?20\d{6}T\d{6}\.\d+Z|20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC)?")
RANDOM_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def settle_data_docs(site: Path, *, run_folder: str, names: str) -> None:
    """Rewrite a freshly built site in place so that identical data gives identical bytes.

    Args:
        site: folder of the Data Docs site.
        run_folder: name that Great Expectations gave the fixed run time; it becomes `latest`.
        names: text that holds the photos' names; the times and ids in them are not Great Expectations' and stay.
    """
    kept = frozenset(found[0] for pattern in (TIMES, RANDOM_IDS) for found in pattern.finditer(names))
    for film in site.rglob("*.gif"):
        film.unlink()
    for page in sorted(site.rglob("*.html")):
        page.write_text(_settle(page.read_text(encoding="utf-8"), run_folder, kept), encoding="utf-8", newline="\n")
    for folder in sorted(site.rglob(run_folder)):
        folder.rename(folder.with_name("latest"))


def _settle(html: str, run_folder: str, kept: frozenset[str]) -> str:
    numbers = {name: name for name in kept}
    html = html.replace(run_folder, "latest")
    html = TIMES.sub(lambda found: found[0] if found[0] in kept else "", html)
    return RANDOM_IDS.sub(lambda found: numbers.setdefault(found[0], f"id{len(numbers) + 1}"), html)
