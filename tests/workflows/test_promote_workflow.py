"""`promote.yml` by running its steps: the gate's answers reach the summary, and a refusal fails the job."""

import click
import pytest
from convlens.cli.main.main import commands
from workflows.conftest import WORKFLOWS
from workflows.github import Event, GitHub
from workflows.runner import run_workflow

STAND_IN = """\
#!/bin/sh
# In place of the command `convlens`: says what it was asked, with which server.
echo "convlens $* at $MLFLOW_TRACKING_URI as $MLFLOW_TRACKING_USERNAME"
case "$*" in *refuse*) echo "Expected a champion. Received: none." >&2; exit 1 ;; esac
"""


@pytest.fixture
def github(tmp_path, make_repository):
    github = GitHub(tmp_path / "github", make_repository({"Makefile": "setup:\n\t@true\n"}))
    program = github.folder / "programs/convlens"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    github.secrets["MLFLOW_TRACKING_USERNAME"] = "ci"
    return github


def run(github, **inputs):
    given = {"action": "promote", "version": "", "reason": "", "force": "false", **inputs}
    event = Event("workflow_dispatch", github.git("rev-parse", "main"), inputs=given)
    return run_workflow(github, WORKFLOWS / "promote.yml", event)["promote"]


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [
        ({}, "promote --markdown"),
        ({"version": "4"}, "promote --markdown -- 4"),
        (
            {"version": "4", "force": "true", "reason": "labels of May"},
            "promote --markdown --force --reason labels of May -- 4",
        ),
        ({"action": "rollback", "reason": "wrong at night"}, "rollback --reason wrong at night"),
    ],
)
def test_the_summary_says_what_the_gate_says(github, inputs, asked):
    github.variables["MLFLOW_TRACKING_URI"] = "https://mlflow.example"
    job = run(github, **inputs)
    assert job.result == "success", job.log
    at = "at https://mlflow.example as ci"
    assert job.summary == f"convlens {asked} {at}\n\n### Champions so far\n\n    convlens history {at}\n"


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


def test_a_refusal_fails_with_its_reason_in_the_summary(github):
    github.variables["MLFLOW_TRACKING_URI"] = "https://mlflow.example"
    job = run(github, version="refuse")
    assert job.result == "failure"
    assert "    Expected a champion. Received: none." in job.summary
    assert "### Champions so far" in job.summary


def test_without_a_server_it_says_what_is_missing(github):
    job = run(github)
    assert job.result == "failure"
    assert job.summary.startswith("Expected the address of the team's MLflow server. Received: no variable")
    assert "::error::" not in job.summary


def test_an_input_is_no_script(github, tmp_path):
    github.variables["MLFLOW_TRACKING_URI"] = "https://mlflow.example"
    job = run(github, action="rollback", reason=f'"; touch {tmp_path}/broken; echo "$(touch {tmp_path}/broken)')
    assert job.result == "success", job.log
    assert not (tmp_path / "broken").exists()
