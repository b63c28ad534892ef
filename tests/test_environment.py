import os

import pytest

from convlens.environment import hold_stderr
from convlens.errors import ConvLensError


@pytest.mark.parametrize(
    ("error", "replay", "shown"),
    [
        (ValueError("?"), True, "a remark\n"),
        (ValueError("?"), False, ""),
        (ConvLensError("Expected …"), True, ""),
        (KeyboardInterrupt(), True, ""),
    ],
)
def test_remarks_are_shown_only_where_something_must_be_found_out(capfd, error, replay, shown):
    with pytest.raises(type(error)):
        remark(error, replay=replay)
    os.write(2, b"and on\n")
    assert capfd.readouterr().err == f"{shown}and on\n"


def remark(error, *, replay):
    with hold_stderr(replay=replay):
        os.write(2, b"a remark\n")
        raise error


def test_remarks_of_what_goes_well_are_dropped(capfd):
    with hold_stderr():
        os.write(2, b"a remark\n")
    assert capfd.readouterr().err == ""
