"""`tools/ci/promote.sh`: the gate's answers are printed for the summary, and a refusal fails."""

import click
import pytest

from convlens.cli.main import commands

# In place of the command `convlens`: says what it was asked, with which server.
CONVLENS = """\
#!/bin/sh
echo "convlens $* at $MLFLOW_TRACKING_URI"
case "$*" in *refuse*) echo "Expected a champion. Received: none." >&2; exit 1 ;; esac
"""
SERVER = "https://mlflow.example"


@pytest.fixture
def promote(make_repository):
    repository = make_repository({})
    repository.stand_in("convlens", CONVLENS)

    def run(server=SERVER, **inputs):
        given = {"ACTION": "promote", "VERSION": "", "REASON": "", "FORCE": "false", **inputs}
        return repository.run("tools/ci/promote.sh", check=False, MLFLOW_TRACKING_URI=server, **given)

    return run


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [
        ({}, "promote --markdown"),
        ({"VERSION": "4"}, "promote --markdown -- 4"),
        (
            {"VERSION": "4", "FORCE": "true", "REASON": "labels of May"},
            "promote --markdown --force --reason labels of May -- 4",
        ),
        ({"ACTION": "rollback", "REASON": "wrong at night"}, "rollback --reason wrong at night"),
    ],
)
def test_it_prints_what_the_gate_says(promote, inputs, asked):
    done = promote(**inputs)
    assert done.returncode == 0
    assert done.stdout == (
        f"convlens {asked} at {SERVER}\n\n### Champions so far\n\n    convlens history at {SERVER}\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["promote", "--markdown", "--force", "--reason", "labels of May", "--", "4"],
        ["rollback", "--reason", "wrong at night"],
        ["history"],
    ],
)
def test_the_real_commands_take_these_arguments(arguments):
    name, *rest = arguments
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    command.make_context(name, rest)


def test_a_refusal_fails_with_its_reason(promote):
    done = promote(VERSION="refuse")
    assert done.returncode == 1
    assert "    Expected a champion. Received: none." in done.stdout
    assert "### Champions so far" in done.stdout


def test_without_a_server_it_says_what_is_missing(promote):
    done = promote(server="")
    assert done.returncode == 1
    assert done.stdout.startswith("Expected the address of the team's MLflow server. Received: no variable")


def test_an_input_is_no_script(promote, tmp_path):
    done = promote(ACTION="rollback", REASON=f'"; touch {tmp_path}/broken; echo "$(touch {tmp_path}/broken)')
    assert done.returncode == 0
    assert not (tmp_path / "broken").exists()
