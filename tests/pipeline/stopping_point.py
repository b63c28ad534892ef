"""Imported at the start of every Python of an environment: the process of a stage waits at a chosen point for its end.

CONVLENS_TEST_STOP says where: the stage, one of Python's audit events, a pattern of its first argument, and a file to
make when the point is reached; one per line. A signal that comes then comes there, however busy the machine is.
"""

import os
import re
import sys
import threading
import time
from typing import Any

WAIT_SECONDS = 600


def stop(stage: str, event: str, pattern: str, told: str) -> None:
    """Wait where the event's first argument matches, in the process of the stage alone."""
    if sys.orig_argv[1:4] != ["-m", "convlens.pipeline", stage]:
        return
    wanted = re.compile(pattern)

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name != event or not arguments or threading.current_thread() is not threading.main_thread():
            return  # Ctrl-C comes to the main thread
        if wanted.search(_text(arguments[0])) and not os.path.exists(told):
            os.close(os.open(told, os.O_CREAT))
            time.sleep(WAIT_SECONDS)

    sys.addaudithook(hook)


def _text(argument: Any) -> str:
    return os.fsdecode(argument) if isinstance(argument, str | bytes | os.PathLike) else ""


if "CONVLENS_TEST_STOP" in os.environ:
    stop(*os.environ["CONVLENS_TEST_STOP"].split("\n"))
