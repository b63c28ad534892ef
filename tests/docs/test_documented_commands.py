"""Every block of README.md, docs/*.md and CONTRIBUTING.md is run, or says why not and is parsed."""

import re
from pathlib import Path

import pytest
from docs.blocks import COMMANDS, ROOT, Block, documents, parse_blocks, read_blocks
from docs.dry import check_command, command_lines
from docs.reader import Reader, make_reader, matches
from docs.stand_in import HEAVY
from ruamel.yaml import YAML

from convlens.data.cards import read_card
from convlens.errors import ConvLensError
from convlens.params import Params, parse_group, read_yaml
from convlens.presets import merge

BLOCKS = [block for file in documents() for block in read_blocks(file)]
RUN = [block for block in BLOCKS if (block.is_run or block.mark.startswith("output")) and not block.is_example]
PARSED = [block for block in BLOCKS if block.language in COMMANDS and not block.is_run]
SETTINGS = [block for block in BLOCKS if block.language == "yaml" and "file:" not in block.mark]
LANGUAGES = {"console", "sh", "python", "yaml", "text", "diff", "csv", "js", "html", "json", ""}
MARKS = re.compile(r"(not run|run by [\w/.]+::\w+|ends with 1|new file|change): \S.*|output|card|workflow|")
KNOWN_BY_NAME = ("make repro", "make test")


@pytest.fixture(scope="module")
def readers(reproduced, tmp_path_factory):
    """One folder a document: what a block leaves is there for the next."""
    made: dict[str, Reader] = {}

    def reader_of(file: str) -> Reader:
        if file not in made:
            made[file] = make_reader(reproduced, tmp_path_factory.mktemp("reader"))
        return made[file]

    return reader_of


@pytest.mark.parametrize("block", RUN, ids=lambda block: block.place)
def test_what_is_shown_runs(block: Block, readers) -> None:
    reader = readers(block.file)
    if block.mark.startswith("output"):
        assert reader.last is not None
        assert matches(block.text, reader.last.stdout), f"shown:\n{block.text}\nprinted:\n{reader.last.stdout}"
        return
    done = reader.run(block.language, block.text)
    assert done.returncode == int(block.mark.startswith("ends with 1")), done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("block", PARSED, ids=lambda block: block.place)
def test_what_cannot_run_here_is_parsed(block: Block) -> None:
    assert check_script(block.text) > 0


@pytest.mark.parametrize("block", SETTINGS, ids=lambda block: block.place)
def test_shown_settings_are_valid(block: Block, tmp_path: Path) -> None:
    shown = tmp_path / "shown.yaml"
    shown.write_text(block.text, encoding="utf-8")
    if block.mark == "card":
        read_card(shown)
    elif block.mark == "workflow":
        assert "jobs" in YAML(typ="safe").load(block.text)
    else:
        parse_group(Params, merge(read_yaml(ROOT / "params.yaml"), read_yaml(shown)), where=block.place)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES
    assert MARKS.fullmatch(block.mark), block.mark
    if block.mark.startswith("run by"):
        assert_test_exists(block.mark.split()[2].rstrip(":"))


@pytest.mark.parametrize("test", sorted({*filter(None, HEAVY.values())}))
def test_what_is_only_checked_here_runs_in_earnest_elsewhere(test: str) -> None:
    assert_test_exists(test)


def check_script(script: str) -> int:
    """Parse every command of a script; how many there are."""
    commands = command_lines(script, ROOT)
    for words in commands:
        check_command(words, ROOT)
    return len(commands)


def assert_test_exists(place: str) -> None:
    file, name = place.split("::")
    assert re.search(rf"^def {name}\b", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE), place


def test_every_document_is_read() -> None:
    assert {"README.md", "CONTRIBUTING.md"} <= {block.file for block in BLOCKS}
    told = {line.strip() for block in BLOCKS if block.file == "README.md" for line in block.text.splitlines()}
    assert set(KNOWN_BY_NAME) <= told


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("convlens predikt photo.jpg", "No such command"),
        ("convlens predict --jason photo.jpg", "No such option"),
        ("convlens compare --markdown a b && convlens pull", "Missing argument"),
        ("dvc exp run -S train.nosuch=1", "train.nosuch"),
        ("dvc exp run -S train.epochs=0", "expected train.epochs to be greater"),
        ("dvc exp run -S 'train.seed=1,-2'", "expected train.seed to be greater"),
        ("dvc exp run $(convlens preset nosuch)", "Expected the name of a preset"),
        ("dvc repro trian", "no stage trian"),
        ("python tools/results.py measure --here", "Missing option '--photos'"),
        ("dvc exp rum", "no such command"),
        ("make nosuch", "No rule to make target"),
        ("TF_CONFIG='{}' \\\n    mlflow models serve --modle x", "No such option"),
    ],
)
def test_a_wrong_command_line_is_found(script: str, told: str, capfd) -> None:
    with pytest.raises((ValueError, ConvLensError), match=told):
        check_script(script)


def test_blocks_marks_and_outputs_are_read() -> None:
    text = "# A\n<!-- not run: needs\n     a GPU -->\n```sh\nx\n```\n## B\n\nwords\n```text\ny\n```\n"
    first, second = parse_blocks(text, "a.md")
    assert (first.section, first.mark, first.text, first.is_run) == ("A", "not run: needs a GPU", "x\n", False)
    assert (second.section, second.mark, second.line, second.is_run) == ("B", "", 10, False)
    with pytest.raises(ValueError, match="no end"):
        parse_blocks("```sh\nx\n", "a.md")
    assert matches("a … c\n…\nz", "a b c\nd\ne\nz\n")
    assert not matches("a", "a\nb")
    assert not matches("a … c", "a b")
