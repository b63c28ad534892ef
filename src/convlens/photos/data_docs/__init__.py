"""Great Expectations' Data Docs made to stand alone: the same for the same data, and nothing loaded from outside.

As built they carry times and random ids, take styles and scripts from seven sites, and need those scripts to show
their index. Here the scripts go, one style sheet of our own takes the place of the others, and the index is plain HTML.
"""

import re
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

TIMES = re.compile(r"(\?d=)?20\d{6}T\d{6}\.\d+Z|20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC)?")
RANDOM_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
FROM_OUTSIDE = (  # names of photos come escaped, so no tag in a page is theirs
    re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<style\b.*?</style>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<link\b[^>]*>", re.IGNORECASE),
    re.compile(r"<footer\b.*?</footer>", re.DOTALL | re.IGNORECASE),
    re.compile(r"\son\w+=\"[^\"]*\"", re.IGNORECASE),
)
LOGO = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<title>Data Docs</title>
</head>
<body>
<main>
<h1>Data Docs</h1>
<p class="lead">What was expected of the photos and of their classes, and what was found, by Great Expectations.</p>
<ul class="results">
{rows}
</ul>
</main>
</body>
</html>
"""
ROW = """<li><h2>{mark} {title}: {word}</h2>
<a href="validations/{name}/validation/latest/{name}-{name}.html">What was found</a> ·
<a href="expectations/{name}.html">What is expected</a></li>"""
PASSED = '<span class="text-success" aria-hidden="true">✓</span>'
FAILED = '<span class="text-danger" aria-hidden="true">✕</span>'


def settle_data_docs(site: Path, *, run_folder: str, names: str, passed: Mapping[str, bool]) -> None:
    """Rewrite a freshly built site in place.

    Args:
        site: folder of the Data Docs site.
        run_folder: name that Great Expectations gave the fixed run time; it becomes `latest`.
        names: text that holds the photos' names; the times and ids in them are not Great Expectations' and stay.
        passed: whether all expectations are met, by the name of the suite.
    """
    kept = frozenset(found[0] for pattern in (TIMES, RANDOM_IDS) for found in pattern.finditer(names))
    shutil.rmtree(site / "static", ignore_errors=True)
    (site / "index.html").write_text(_write_index(passed), encoding="utf-8", newline="\n")
    style = files(__name__).joinpath("style.css").read_text(encoding="utf-8")
    for page in sorted(site.rglob("*.html")):
        text = _settle(_detach(page.read_text(encoding="utf-8"), style), run_folder, kept)
        page.write_text(text, encoding="utf-8", newline="\n")
    for folder in sorted(site.rglob(run_folder)):
        folder.rename(folder.with_name("latest"))


def _write_index(passed: Mapping[str, bool]) -> str:
    rows = [
        ROW.format(
            name=name,
            title=name.capitalize(),
            mark=PASSED if good else FAILED,
            word="all is as expected" if good else "not all is as expected",
        )
        for name, good in passed.items()
    ]
    return INDEX.format(rows="\n".join(rows))


def _detach(html: str, style: str) -> str:
    """The page with our style alone, without scripts, and without pictures, which are logos."""
    for pattern in FROM_OUTSIDE:
        html = pattern.sub("", html)
    html = LOGO.sub("Data Docs", html)
    return html.replace("</head>", f"<style>\n{style}</style>\n</head>", 1)


def _settle(html: str, run_folder: str, kept: frozenset[str]) -> str:
    numbers = {name: name for name in kept}
    html = html.replace(run_folder, "latest")
    html = TIMES.sub(lambda found: found[0] if found[0] in kept else "", html)
    return RANDOM_IDS.sub(lambda found: numbers.setdefault(found[0], f"id{len(numbers) + 1}"), html)
