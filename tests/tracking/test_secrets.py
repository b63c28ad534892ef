"""No secret of the environment, of an address or of the code leaves the machine with a record."""

import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient
from small_training import KEY, demand, use_own_store, write_training

from convlens.environment import hide_passwords, hide_secrets
from convlens.params import flatten_params
from convlens.stages.register import register
from convlens.tracking.live import open_live_run
from convlens.tracking.runs import KEY_TAG

WHO = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c")
PLANTED = {
    "AWS_SECRET_ACCESS_KEY": "planted-aws-3f9c",
    "MLFLOW_TRACKING_PASSWORD": "planted-password-77",
    "MLFLOW_TRACKING_TOKEN": "planted-token-81",
    "GITHUB_TOKEN": "planted-github-12",
    "SOME_API_KEY": "planted-api-key-55",
}
IN_FILES = ("planted-remote-90", "planted-source-23", "planted-in-code-64", "planted-query-31")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host/a", "https://…@host/a"),
        ("s3://b/x?X-Amz-Signature=abc&part=1", "s3://b/x?X-Amz-Signature=…&part=1"),
        ("http://h/?token=abc", "http://h/?token=…"),
        ("monkey=1 http://h/?page=2", "monkey=1 http://h/?page=2"),
        ("postgresql://host/db", "postgresql://host/db"),
    ],
)
def test_addresses_lose_what_opens_them(text: str, shown: str) -> None:
    assert hide_passwords(text) == shown


def test_values_of_telling_variables_are_hidden_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "opensesame")
    monkeypatch.setenv("DB_PASSWORD_FILE", "/run/secrets/file")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("SHORT_TOKEN", "true")
    text = "opensesame true Somebody /run/secrets/file"
    assert hide_secrets(text) == "… true Somebody /run/secrets/file"


def test_texts_given_to_telling_names_are_hidden() -> None:
    assert hide_secrets('+api_key = "abc"\n+token: str = next(tokens)') == '+api_key = "…"\n+token: str = next(tokens)'


def test_parameters_have_no_passwords() -> None:
    assert flatten_params({"data": {"source": "https://me:pw@host/x"}}) == {"data.source": "https://…@host/x"}


def test_nothing_planted_reaches_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    use_own_store(root, monkeypatch)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    paths = write_training(root)
    (root / ".env").write_text("PASSWORD=planted-source-23\n")
    _commit(root, "https://user:planted-remote-90@git.example.com/x.git")
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    _plant(root)
    with open_live_run(key=KEY, experiment="trials", params={"data.source": "s"}) as live:
        live.log_epoch(1, {"train_loss": 0.7})
    register(**paths, params=demand())

    (run,) = MlflowClient(f"sqlite:///{root}/mlflow.db").search_runs(["1"])
    assert run.data.tags[KEY_TAG] == KEY
    assert run.data.tags["convlens.git_dirty"] == "true"
    changes = (root / "mlartifacts" / run.info.run_id / "artifacts/config/changes.diff").read_text()
    assert '+token = "…"' in changes
    assert "# not in git: src/new.py" in changes
    assert "+  source: https://…@host/photos.zip?token=…" in changes
    assert (root / "mlartifacts" / run.info.run_id / "artifacts/config/requirements.txt").read_text().startswith("--")
    stored = [path for path in (root / "mlartifacts").rglob("*") if path.is_file()]
    recorded = b"\n".join(path.read_bytes() for path in [root / "mlflow.db", *stored])
    told = "".join(capfd.readouterr())
    for secret in (*PLANTED.values(), *IN_FILES):
        assert secret.encode() not in recorded, secret
        assert secret not in told, secret


def _commit(root: Path, remote: str) -> None:
    (root / "src").mkdir()
    (root / "src/code.py").write_text("answer = 42\n")
    (root / ".gitignore").write_text("/mlflow.db*\n/mlartifacts/\n")
    for command in (["init", "-q"], ["remote", "add", "origin", remote], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*WHO, *command], check=True)


def _plant(root: Path) -> None:
    """Secrets in changed code, in a committed file that is none of the code, and in addresses of configuration."""
    (root / "src/code.py").write_text('answer = 42\ntoken = "planted-in-code-64"\n')
    (root / "src/new.py").write_text("x = 1\n")
    (root / ".env").write_text("PASSWORD=planted-source-23 changed\n")
    address = "https://me:planted-source-23@host/photos.zip?token=planted-query-31"
    params = (root / "params.yaml").read_text()
    start = params.index("  source: ")
    rest = params[params.index("\n", start) + 1 :]
    (root / "params.yaml").write_text(f"{params[:start]}  source: {address}\n{rest}")
    (root / "dvc.yaml").write_text(f"stages: {{}}\n# {address}\n")
    locked = root / "requirements.txt"
    locked.write_text(f"--index-url {address}\n" + locked.read_text())
    (root / "reports/summary.md").write_text(f"# Network\n\n{address} {PLANTED['GITHUB_TOKEN']}\n")
