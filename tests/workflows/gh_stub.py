"""Stands in for GitHub's `gh`: keeps comments, issues, statuses in a file, and refuses what the token may not do.

Its folder is STUB_GH: `state.json`, which tests read. STUB_PERMISSIONS: what the job's token may, as JSON.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

STATE = Path(os.environ["STUB_GH"]) / "state.json"
EMPTY: dict[str, Any] = {"calls": [], "comments": [], "statuses": [], "workflows": [], "issues": []}


def main(arguments: list[str]) -> None:
    state = json.loads(STATE.read_text()) if STATE.is_file() else EMPTY
    state["calls"].append(arguments)
    try:
        answer(arguments, state)
    finally:
        STATE.write_text(json.dumps(state))


def answer(arguments: list[str], state: dict[str, Any]) -> None:
    if not os.environ.get("GH_TOKEN"):
        sys.exit("gh: To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable.")
    match arguments:
        case ["auth", "setup-git"]:
            (Path(os.environ["STUB_GH"]) / "may-push").touch()
        case ["api", *rest]:
            api(rest, state)
        case ["workflow", "run", name, "--ref", branch]:
            demand("actions")
            state["workflows"].append([name, branch])
        case ["issue", verb, *rest]:
            issue(verb, rest, state)
        case _:
            sys.exit(f"gh: unknown here: {arguments}")


def demand(scope: str) -> None:
    if json.loads(os.environ["STUB_PERMISSIONS"]).get(scope) != "write":
        sys.exit(f"gh: Resource not accessible by integration (HTTP 403): {scope} needs write")


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1] if name in arguments else ""


def fields(arguments: list[str]) -> dict[str, str]:
    found = dict(arguments[place + 1].split("=", 1) for place, word in enumerate(arguments) if word == "--field")
    return {name: Path(value[1:]).read_text() if value.startswith("@") else value for name, value in found.items()}


def api(arguments: list[str], state: dict[str, Any]) -> None:
    address = next(word for word in arguments if word.startswith("repos/"))
    given = fields(arguments)
    method = option(arguments, "--method") or "GET"
    if method == "GET" and re.fullmatch(r"repos/team/convlens/issues/\d+/comments", address):
        marker = re.search(r'contains\("([^"]*)"\)', option(arguments, "--jq"))
        assert marker, "the comment is found by its marker"
        for comment in state["comments"]:
            if marker[1] in comment["body"] and comment["user"]["type"] == "Bot":
                print(comment["id"])
    elif method == "POST" and re.fullmatch(r"repos/team/convlens/issues/\d+/comments", address):
        demand("pull-requests")
        state["comments"].append({"id": 100 + len(state["comments"]), "user": {"type": "Bot"}, "body": given["body"]})
    elif method == "PATCH" and (found := re.fullmatch(r"repos/team/convlens/issues/comments/(\d+)", address)):
        demand("pull-requests")
        next(comment for comment in state["comments"] if comment["id"] == int(found[1]))["body"] = given["body"]
    elif method == "POST" and (found := re.fullmatch(r"repos/team/convlens/statuses/([0-9a-f]{40})", address)):
        demand("statuses")
        state["statuses"].append({"commit": found[1], **given})
    else:
        sys.exit(f"gh: Not Found (HTTP 404): {method} {address}")


def issue(verb: str, arguments: list[str], state: dict[str, Any]) -> None:
    if verb == "list":
        title = re.search(r'\.title == "([^"]*)"', option(arguments, "--jq"))
        assert title, "the issue is found by its title"
        for known in state["issues"]:
            if known["title"] == title[1] and known["open"]:
                print(known["number"])
        return
    demand("issues")
    if verb == "create":
        body = Path(option(arguments, "--body-file")).read_text()
        number = 1 + len(state["issues"])
        state["issues"].append({"number": number, "title": option(arguments, "--title"), "body": body, "open": True})
        return
    known = next(known for known in state["issues"] if known["number"] == int(arguments[0]))
    if verb == "edit":
        known["body"] = Path(option(arguments, "--body-file")).read_text()
    elif verb == "close":
        known["open"] = False
    else:
        sys.exit(f"gh: unknown here: issue {verb}")


if __name__ == "__main__":
    main(sys.argv[1:])
