"""GitHub's expressions, `${{ … }}`: the operators and functions that the workflows of this repository use.

As GitHub's reference of expressions has them. Anything else raises ValueError, so a workflow cannot come to depend on
what is not evaluated here.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_][\w-]*)|(?P<sign>&&|\|\||[!=]=|[!().,]))"
)
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
CONSTANTS = {"true": True, "false": False, "null": None}
Functions = Mapping[str, Callable[..., Any]]


def fill_in(text: str, contexts: Mapping[str, Any], functions: Functions) -> str:
    """Text with its expressions replaced by their values."""
    return EXPRESSION.sub(lambda found: to_text(evaluate(found[1], contexts, functions)), text)


def is_true(value: Any) -> bool:
    """What counts as true: everything but false, 0, the empty text and null."""
    return value not in (False, 0, "", None)


def to_text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def evaluate(expression: str, contexts: Mapping[str, Any], functions: Functions) -> Any:
    """The value of an expression, without its `${{ }}`."""
    parser = _Parser(_split(expression), contexts, functions)
    value = parser.either()
    if parser.tokens:
        raise ValueError(f"Cannot evaluate {expression!r}: {parser.tokens[0][1]!r} is left over.")
    return value


def _split(expression: str) -> list[tuple[str, str]]:
    tokens, place = [], 0
    text = expression.strip()
    while place < len(text):
        found = TOKEN.match(text, place)
        if not found or not found.lastgroup:
            raise ValueError(f"Cannot evaluate {expression!r} from {text[place:]!r} on.")
        tokens.append((found.lastgroup, found[found.lastgroup]))
        place = found.end()
    return tokens


class _Parser:
    """Descends from the weakest operator to values; reads and evaluates at once."""

    def __init__(self, tokens: list[tuple[str, str]], contexts: Mapping[str, Any], functions: Functions) -> None:
        self.tokens, self.contexts, self.functions = tokens, contexts, functions

    def take(self, *signs: str) -> str | None:
        if self.tokens and self.tokens[0][0] == "sign" and self.tokens[0][1] in signs:
            return self.tokens.pop(0)[1]
        return None

    def need(self, sign: str) -> None:
        if not self.take(sign):
            raise ValueError(f"Expected {sign!r} before {self.tokens}.")

    def either(self) -> Any:
        value = self.both()
        while self.take("||"):
            other = self.both()
            value = value if is_true(value) else other
        return value

    def both(self) -> Any:
        value = self.comparison()
        while self.take("&&"):
            other = self.comparison()
            value = other if is_true(value) else value
        return value

    def comparison(self) -> Any:
        value = self.negation()
        while sign := self.take("==", "!="):
            same = _fold(value) == _fold(self.negation())
            value = same if sign == "==" else not same
        return value

    def negation(self) -> Any:
        return not is_true(self.negation()) if self.take("!") else self.value()

    def value(self) -> Any:
        if self.take("("):
            value = self.either()
            self.need(")")
            return value
        kind, text = self.tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return int(text)
        if kind != "name":
            raise ValueError(f"Expected a value. Received: {text!r}.")
        if self.take("("):
            return self.call(text)
        return CONSTANTS[text] if text in CONSTANTS else self.property(text)

    def call(self, name: str) -> Any:
        if name not in self.functions:
            raise ValueError(f"The function {name} is not known here.")
        arguments = []
        while not self.take(")"):
            arguments.append(self.either())
            self.take(",")
        return self.functions[name](*arguments)

    def property(self, name: str) -> Any:
        if name not in self.contexts:
            raise ValueError(f"The context {name} is not known here.")
        value = self.contexts[name]
        while self.take("."):
            _, key = self.tokens.pop(0)
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


def _fold(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else "" if value is None else value
