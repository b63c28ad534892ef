"""A team's repository on a stand-in of GitHub, and pull requests to it, one after another."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pipeline.clone import GIT, ROOT, Clone, change_params, make_clone
from workflows.github import Event, GitHub
from workflows.runner import Job, run_workflow

WORKFLOWS = ROOT / ".github/workflows"


@dataclass(frozen=True)
class Team:
    """The repository and a clone from which branches are pushed."""

    github: GitHub
    clone: Clone

    def branch(self, name: str, start: str, change: Callable[[Path], None]) -> str:
        """Push a branch with one changed thing; its commit."""
        self.clone.run("git", "fetch", "--quiet", str(self.github.origin), "+refs/heads/*:refs/remotes/origin/*")
        self.clone.run("git", "checkout", "--quiet", "--force", "-B", name, start)
        change(self.clone.folder)
        self.clone.run(*GIT, "commit", "--quiet", "--all", "--message", name)
        return self.push(name)

    def push(self, name: str) -> str:
        # As its owner would; the hook of the stand-in is for workflows.
        commit = self.clone.run("git", "rev-parse", "HEAD").stdout.strip()
        self.clone.run(
            "git", "push", "--quiet", "--force", str(self.github.origin), f"HEAD:refs/heads/{name}", **self.owner
        )
        return commit

    @property
    def owner(self) -> dict[str, str]:
        (self.github.folder / "owner").mkdir(exist_ok=True)
        (self.github.folder / "owner/may-push").touch()
        return {"STUB_GH": str(self.github.folder / "owner"), "STUB_PERMISSIONS": '{"contents": "write"}'}

    def run(self, workflow: str, event: Event) -> dict[str, Job]:
        return run_workflow(self.github, WORKFLOWS / workflow, event)

    def head(self, branch: str) -> str:
        return self.github.git("rev-parse", f"refs/heads/{branch}")


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Makes a small repository with these files and the scripts of this one."""

    def make(files: dict[str, str]) -> Path:
        folder = tmp_path / "source"
        shutil.copytree(ROOT / "tools/ci", folder / "tools/ci")
        for name, text in {".gitignore": ".venv\n", "requirements-dev.txt": "", "pyproject.toml": "", **files}.items():
            (folder / name).write_text(text)
        clone = Clone(folder)
        clone.run("git", "init", "--quiet", "--initial-branch=main")
        (folder / ".dvc").mkdir()
        (folder / ".dvc/config").write_bytes((ROOT / ".dvc/config").read_bytes())
        clone.commit("Start")
        return folder

    return make


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> Team:
    """A repository whose default branch holds its results, and DVC's cache of them on the runners."""
    folder = tmp_path_factory.mktemp("team")
    clone = make_clone(folder / "clone")
    _use_stand_ins(clone.folder)
    clone.run("dvc", "repro")
    clone.commit("Results")
    github = GitHub(folder / "github", clone.folder)
    shutil.copytree(clone.folder / ".dvc/cache", github.folder / "caches/dvc-Linux-main/.dvc/cache")
    return Team(github, clone)


def _use_stand_ins(folder: Path) -> None:
    """Let the stages of dvc.yaml, with all they depend on, be done in moments."""
    shutil.copy(Path(__file__).with_name("stand_in_stages.py"), folder / "src")
    script = folder / "tools/ci/compare.sh"
    script.write_text(script.read_text().replace(" --filters", ""))  # there are no networks to look at
    pipeline = folder / "dvc.yaml"
    text = pipeline.read_text().replace("PYTHONPATH=src python -m convlens.pipeline", "python src/stand_in_stages.py")
    pipeline.write_text(text)


def set_threshold(value: float) -> Callable[[Path], None]:
    """What is answered `dogs`: photos at least this probable; a change that costs no training."""
    return lambda folder: change_params(folder / "params.yaml", {"evaluate.threshold": value})


@pytest.fixture(scope="session")
def worse(team: Team) -> tuple[Event, dict[str, Job]]:
    """A pull request of the team after which nearly everything is called a cat."""
    main = team.head("main")
    commit = team.branch("worse", main, set_threshold(0.999999))
    event = Event("pull_request", commit, branch="worse", base=main)
    return event, team.run("reproduce.yml", event)


@pytest.fixture(scope="session")
def forked(team: Team, worse) -> tuple[Event, dict[str, Job]]:
    """The same from somebody else's repository."""
    event = Event("pull_request", worse[0].commit, branch="worse", base=worse[0].base, fork=True)
    before = len(team.github.state["calls"])
    jobs = team.run("reproduce.yml", event)
    assert len(team.github.state["calls"]) == before
    return event, jobs


@pytest.fixture(scope="session")
def better(team: Team, worse, forked) -> tuple[Event, dict[str, Job]]:
    """A pull request that takes it back, after the first one was merged all the same."""
    team.clone.run("git", "fetch", "--quiet", str(team.github.origin), "worse")
    team.clone.run("git", "checkout", "--quiet", "--force", "FETCH_HEAD")
    base = team.push("main")
    commit = team.branch("better", base, set_threshold(0.5))
    event = Event("pull_request", commit, branch="better", base=base)
    return event, team.run("reproduce.yml", event)


@pytest.fixture(scope="session")
def merged(team: Team, better) -> tuple[Event, dict[str, Job]]:
    """The push to the default branch that follows, results included."""
    team.clone.run("git", "fetch", "--quiet", str(team.github.origin), "better")
    team.clone.run("git", "checkout", "--quiet", "--force", "FETCH_HEAD")
    commit = team.push("main")
    event = Event("push", commit, base=better[0].base)
    team.github.variables["MLFLOW_TRACKING_URI"] = f"sqlite:///{team.github.folder}/server.db"
    return event, team.run("reproduce.yml", event)


@pytest.fixture(scope="session")
def stopped(team: Team, merged) -> dict[str, Job]:
    """A pull request whose pipeline stops, with a word where a stage needs a number; it comes after all others."""
    main = team.head("main")
    change = {"evaluate.threshold": "often"}
    commit = team.branch("stopped", main, lambda folder: change_params(folder / "params.yaml", change))
    return team.run("reproduce.yml", Event("pull_request", commit, branch="stopped", base=main))
