import pytest
from workflows.expressions import evaluate, fill_in

CONTEXTS = {
    "github": {"event_name": "push", "event": {"before": "abc"}, "ref": "refs/heads/main"},
    "steps": {"compare": {"outcome": "failure", "outputs": {"cache-hit": "true"}}},
    "vars": {},
}
FUNCTIONS = {"always": lambda: True, "contains": lambda text, part: part in (text or "")}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("github.event_name == 'push'", True),
        ("github.event_name != 'PUSH'", False),  # letters' case makes no difference
        ("github.event.pull_request.number || github.ref", "refs/heads/main"),
        ("github.event_name == 'push' && vars.RUNNER || 'ubuntu-latest'", "ubuntu-latest"),
        ("vars.RUNNER == ''", True),  # what is not there is like the empty text
        ("!contains(github.ref, 'main')", False),
        ("always() && steps.compare.outputs.cache-hit != 'true'", False),
        ("(true || false) && 'it''s'", "it's"),
        ("null", None),
    ],
)
def test_values(expression, value):
    assert evaluate(expression, CONTEXTS, FUNCTIONS) == value


def test_texts_are_filled_in():
    text = "a ${{ github.event.before }} b ${{ vars.NONE }} c ${{ github.event_name == 'push' }}"
    assert fill_in(text, CONTEXTS, FUNCTIONS) == "a abc b  c true"


@pytest.mark.parametrize("expression", ["secret.KEY", "toJSON(github)", "github.ref ~ 1", "github.ref github.ref"])
def test_what_is_unknown_is_refused(expression):
    with pytest.raises(ValueError):
        evaluate(expression, CONTEXTS, FUNCTIONS)
