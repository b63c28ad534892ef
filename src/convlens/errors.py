"""The one error that a user is meant to read, and how invalid values are told."""

import json
from typing import Any

NO_BREAK_SPACES = "\u00a0\u202f"  # between a number and its unit; Python calls them unprintable


class ConvLensError(Exception):
    """Bad input, told in one line: what was expected, what came, how to fix it.

    The command line and the stage runner print the message and exit with 1; they show no traceback.
    """


def printable(text: str, *, keep: str = "") -> str:
    """Text for a terminal: a name may hold line ends, or commands to the terminal, which are shown and not sent.

    Args:
        text: any text.
        keep: letters that pass though they are not printable, such as line ends between lines of our own.
    """
    harmless = f"{keep}{NO_BREAK_SPACES}"
    return "".join(
        letter if letter.isprintable() or letter in harmless else letter.encode("unicode_escape").decode()
        for letter in text
    )


def explain_invalid(detail: Any, where: str, meant: str = "") -> str:
    """Tell one of pydantic's complaints in one line.

    Args:
        detail: an item of `ValidationError.errors()`.
        where: the file that the value stands in.
        meant: what an unknown name may be a misspelling of; '' if nothing is like it.
    """
    name = ".".join(str(part) for part in detail["loc"]) or "the file"
    if detail["type"] == "extra_forbidden":
        guess = f"Did you mean '{meant}'? " if meant else ""
        return f"{where}: unknown parameter '{name}'. {guess}Remove it, or correct its spelling."
    if detail["type"] == "missing":
        return f"{where}: parameter '{name}' is missing. Add it; src/convlens/params.py describes it."
    if detail["type"] == "value_error":
        return f"{where}: {name}: {detail['ctx']['error']}."
    return f"{where}: expected {name} to be {_word(detail)}. Received: {_show(detail['input'])}."


def _word(detail: Any) -> str:
    """What pydantic expected, as an end of "expected … to be"."""
    if detail["type"] in ("model_type", "model_attributes_type"):
        return "a group of parameters (name: value)"
    message = str(detail["msg"]).removeprefix("Input should be ").partition(" after validation")[0]
    for kind, noun in (("String", "a text"), ("Tuple", "a list"), ("List", "a list")):
        message = message.replace(f"{kind} should have ", f"{noun} with ").replace(f"{kind} should ", f"{noun} to ")
    return message.replace("to match pattern", "that matches").replace("a valid array", "a list")


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
