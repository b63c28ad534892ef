"""Who does something, and when: for the record of decisions."""

import datetime
import getpass


def user_name() -> str:
    """The user's ordinary name on this machine; `unknown` in a container whose user has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def utc_now(after: str = "") -> str:
    """The present moment as `2026-03-01T12:30:00.123Z`; later than `after` even if that clock was ahead."""
    now = datetime.datetime.now(datetime.UTC)
    if after:
        now = max(now, datetime.datetime.fromisoformat(after) + datetime.timedelta(milliseconds=1))
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def show_moment(moment: str) -> str:
    """`2026-03-01 12:30 UTC`, of what `utc_now` gives."""
    return f"{moment[:10]} {moment[11:16]} UTC"
