"""A runner for tests: executes the steps of a workflow's jobs in order, in fresh clones, as GitHub's would."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from workflows import actions
from workflows.expressions import evaluate, fill_in, is_true, to_text
from workflows.github import Event, GitHub
from workflows.triggers import starts

STATUS_FUNCTIONS = ("always", "canceled", "failure", "success")
KNOWN_JOB_KEYS = {"runs-on", "timeout-minutes", "permissions", "outputs", "env", "steps", "needs", "if", "environment"}


@dataclass
class Job:
    """One job: what it is, and what came of it."""

    name: str
    definition: Mapping[str, Any]
    folder: Path
    result: str = "success"
    summary: str = ""
    log: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        return self.folder / "convlens"


def read_workflow(path: Path) -> dict[str, Any]:
    """A workflow file, as YAML 1.2 reads it: `on` is a word."""
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def run_workflow(github: GitHub, path: Path, event: Event) -> dict[str, Job]:
    """Run what the event starts; the jobs that ran or were skipped, none if the workflow does not run."""
    workflow = read_workflow(path)
    target = "main" if event.name == "pull_request" else event.branch
    if not starts(workflow, event.name, branch=target, changed=github.changed(event)):
        return {}
    jobs: dict[str, Job] = {}
    for name, definition in workflow["jobs"].items():
        if unknown := set(definition) - KNOWN_JOB_KEYS:
            raise ValueError(f"The runner for tests does not know {unknown} of the job {name}.")
        number = len(list(github.folder.glob("job-*")))
        job = Job(name, definition, github.folder / f"job-{number}")
        job.workspace.mkdir(parents=True)
        jobs[name] = job
        _Run(github, event, job, jobs).run()
    return jobs


class _Run:
    """One job on its way."""

    def __init__(self, github: GitHub, event: Event, job: Job, jobs: Mapping[str, Job]) -> None:
        self.github, self.event, self.job = github, event, job
        needed = job.definition.get("needs", [])
        self.needs = {name: jobs[name] for name in ([needed] if isinstance(needed, str) else needed)}
        self.failed = any(job.result != "success" for job in self.needs.values())

    def run(self) -> None:
        if not self.wanted(self.job.definition.get("if")):
            self.job.result = "skipped"
            return
        self.failed = False
        environment = self.job.definition.get("env", {})
        self.job.environment = {name: self.fill(value) for name, value in environment.items()}
        for number, step in enumerate(self.job.definition["steps"]):
            self.step(step, step.get("id", f"step-{number}"))
        self.job.result = "failure" if self.failed else "success"
        self.job.outputs = {name: self.fill(value) for name, value in self.job.definition.get("outputs", {}).items()}

    def step(self, step: Mapping[str, Any], name: str) -> None:
        record = self.job.steps[name] = {"outcome": "skipped", "conclusion": "skipped", "outputs": {}}
        if not self.wanted(step.get("if")):
            return
        works = self.execute(step, record) if "run" in step else self.act(step, record)
        record["outcome"] = "success" if works else "failure"
        record["conclusion"] = "success" if works or step.get("continue-on-error") else "failure"
        self.failed = self.failed or record["conclusion"] == "failure"

    def execute(self, step: Mapping[str, Any], record: dict[str, Any]) -> bool:
        """Run a script in the shell, as `shell: bash` does."""
        script = self.job.folder / "script.sh"
        script.write_text(self.fill(step["run"]))
        files = {name: self.job.folder / name for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        own = {name: self.fill(value) for name, value in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.job.workspace,
            env={**self.surroundings(), **{name: str(path) for name, path in files.items()}, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.job.log += f"--- {step.get('name', step['run'])}\n{done.stdout}"
        record["outputs"] = _read_pairs(files["GITHUB_OUTPUT"])
        self.job.environment |= _read_pairs(files["GITHUB_ENV"])
        self.job.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        return done.returncode == 0

    def act(self, step: Mapping[str, Any], record: dict[str, Any]) -> bool:
        """Do what a step with `uses` would do."""
        given = {name: self.fill(value) for name, value in step.get("with", {}).items()}
        name = step["uses"].split("@")[0]
        try:
            record["outputs"] = actions.ACTIONS[name](self.github, self.event, self.job.workspace, given) or {}
        except actions.ActionError as error:
            self.job.log += f"--- {name}\n{error}\n"
            return False
        return True

    def surroundings(self) -> dict[str, str]:
        """The environment of a step: GitHub's variables, and nothing of the machine's but where programs are."""
        github = self.event.context
        (self.job.folder / "event.json").write_text(json.dumps(github["event"]))
        names = ("sha", "ref", "ref_name", "base_ref", "head_ref", "repository", "event_name", "server_url", "run_id")
        temporary = self.job.folder / "temp"
        for place in (temporary, self.job.folder / "tmp"):
            place.mkdir(exist_ok=True)
        return {
            "PATH": os.pathsep.join(
                map(str, (self.github.folder / "bin", Path(sys.executable).parent, os.environ["PATH"]))
            ),
            "HOME": str(temporary),
            "LANG": "C.UTF-8",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_PATH": str(self.job.folder / "event.json"),
            "GITHUB_WORKSPACE": str(self.job.workspace),
            "RUNNER_TEMP": str(temporary),
            "TMPDIR": str(self.job.folder / "tmp"),
            "STUB_GH": str(self.github.folder / "gh"),
            "STUB_PERMISSIONS": json.dumps(self.permissions),
            **{f"GITHUB_{name.upper()}": github[name] for name in names},
            **self.job.environment,
        }

    @property
    def permissions(self) -> dict[str, str]:
        """What the job's token may; a fork's may only read."""
        granted = dict(self.job.definition["permissions"])
        return dict.fromkeys(granted, "read") if self.event.fork else granted

    def wanted(self, condition: str | None) -> bool:
        text = str(condition or "success()").strip().removeprefix("${{").removesuffix("}}")
        if not any(f"{name}()" in text for name in STATUS_FUNCTIONS):
            text = f"success() && ({text})"
        return is_true(evaluate(text, self.contexts, self.functions))

    def fill(self, value: Any) -> str:
        return fill_in(str(value).lower() if isinstance(value, bool) else str(value), self.contexts, self.functions)

    @property
    def contexts(self) -> dict[str, Any]:
        return {
            "github": self.event.context,
            "env": self.job.environment,
            "inputs": dict(self.event.inputs),
            "needs": {name: {"result": job.result, "outputs": job.outputs} for name, job in self.needs.items()},
            "runner": {"os": "Linux", "temp": str(self.job.folder / "temp")},
            "secrets": {} if self.event.fork else self.github.secrets,
            "steps": self.job.steps,
            "vars": self.github.variables,
        }

    @property
    def functions(self) -> dict[str, Any]:
        return {
            "always": lambda: True,
            "canceled": lambda: False,
            "failure": lambda: self.failed,
            "success": lambda: not self.failed,
            "format": lambda text, *values: text.format(*map(to_text, values)),
            "contains": lambda text, part: part.lower() in (text or "").lower(),
            "hashFiles": lambda *patterns: actions.hash_files(self.job.workspace, patterns),
        }


def _read_pairs(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if line)


def use_environment(workspace: Path, programs: Path) -> None:
    """Give a clone the environment that the tests run in, complete as far as `make setup` can tell.

    Args:
        workspace: the clone.
        programs: folder of stand-ins for programs of the environment.
    """
    made = workspace / ".venv"
    (made / "bin").mkdir(parents=True)
    for name in ("lib", "pyvenv.cfg"):
        (made / name).symlink_to(Path(sys.prefix) / name)
    chosen = {path.name: path for folder in (Path(sys.prefix) / "bin", programs) for path in folder.iterdir()}
    for name, path in chosen.items():
        (made / "bin" / name).symlink_to(path)
    stamp_environment(workspace)


def stamp_environment(workspace: Path) -> None:
    """Let `make setup` take the environment of a clone for complete."""
    stamp = r'''echo "dev $(pwd) $({ cat requirements-dev.txt; sed '/^\[tool/,$d' pyproject.toml; } | cksum)"'''
    done = subprocess.run(["sh", "-c", stamp], cwd=workspace, capture_output=True, text=True, check=True)
    (workspace / ".venv/complete-dev").write_text(done.stdout)
