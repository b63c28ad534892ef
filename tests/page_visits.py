"""Pages in the browser: the feature-map page in one tab, and what axe-core finds wrong with any."""

from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parents[1] / "tools/page/node_modules/axe-core/axe.min.js"


class Visit:
    """The page in one tab of the browser, with everything it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.path = path
        self.page = browser.new_page(viewport={"width": 1280, "height": 900}, **options)
        self.page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, state: str = "") -> Any:
        """Load the page at a state of its address."""
        tab = dict(part.split("=") for part in state.split("&") if part).get("tab", "answer")
        self.page.goto("about:blank")
        self.page.goto(f"{self.path.as_uri()}#{state}")
        self.page.wait_for_selector(f"html[data-ready={tab}]", state="attached")
        return self.page

    def turn(self, tab: str) -> None:
        """Press a tab and wait for its view."""
        self.page.click(f"#tab-{tab}")
        self.page.wait_for_selector(f"html[data-ready={tab}]", state="attached")


def text_of(page: Any, selector: str) -> str:
    return " ".join(str(page.locator(selector).first.inner_text()).split())


def find_violations(page: Any, **options: Any) -> list[tuple[str, str, str]]:
    """Rule, element and summary of all that axe-core finds; without axe-core the test is skipped."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; `npm ci --prefix tools/page` does it.")
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    report = page.evaluate("(more) => axe.run(document, {resultTypes: ['violations'], ...more})", options)
    return [
        (rule["id"], node["html"][:160], node["failureSummary"])
        for rule in report["violations"]
        for node in rule["nodes"]
    ]
