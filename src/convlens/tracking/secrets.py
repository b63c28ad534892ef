"""What must not leave this machine with a record: passwords, tokens and keys, wherever they stand in a text."""

import os
import re

TELLING = (
    r"(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|SIGNATURE|AUTH(?!OR))"
)
MIN_LENGTH = 6  # shorter values are words like `true`, which stand in every text
HIDDEN = "…"
_USER = re.compile(r"(\w+://)[^/@\s]+@")
_QUERY = re.compile(rf"([?&][\w.-]*(?:{TELLING}|sig|key)[\w.-]*=)[^&\s\"'#]+", re.IGNORECASE)
_ASSIGNED = re.compile(rf"([\w.-]*{TELLING}[\w.-]*[\"']?\s*[:=]\s*)([\"'])[^\"'\n]+\2", re.IGNORECASE)
_NAME = re.compile(TELLING, re.IGNORECASE)
_PLACE = re.compile(r"_(?:FILE|PATH|DIR|URL|URI|SOCK)$", re.IGNORECASE)  # where a secret is kept is none


def hide_passwords(text: str) -> str:
    """`https://user:secret@host` becomes `https://…@host`, and `?token=abc` becomes `?token=…`."""
    return _QUERY.sub(rf"\1{HIDDEN}", _USER.sub(rf"\1{HIDDEN}@", text))


def hide_secrets(text: str) -> str:
    """Hide passwords in addresses, texts assigned to names that tell, and values of telling environment variables."""
    text = _ASSIGNED.sub(rf"\1\2{HIDDEN}\2", hide_passwords(text))
    for value in _secret_values():
        text = text.replace(value, HIDDEN)
    return text


def _secret_values() -> list[str]:
    """The longest first: one may be part of another."""
    found = {value for name, value in os.environ.items() if _NAME.search(name) and not _PLACE.search(name)}
    return sorted((value for value in found if len(value) >= MIN_LENGTH), key=lambda value: (-len(value), value))
