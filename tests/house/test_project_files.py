"""What a project says of itself in several places is the same everywhere."""

import tomllib

from pipeline.clone import ROOT

from convlens import __version__
from convlens.params import read_yaml


def test_license_and_version_are_told_alike() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = read_yaml(ROOT / "CITATION.cff")
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (project["license"], citation["license"]) == ("Apache-2.0", "Apache-2.0")
    assert "Apache License\n                           Version 2.0" in text
    assert text.rstrip().endswith("limitations under the License.")
    assert "[Apache License 2.0](LICENSE)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (project["version"], str(citation["version"])) == (__version__, __version__)
