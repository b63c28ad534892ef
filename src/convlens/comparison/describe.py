"""A comparison as sections, the verdict first: it is what most readers come for."""

from convlens.comparison.compare import FirstResults, RunsCompared
from convlens.comparison.describe_answers import describe_answers, describe_confusion, describe_groups
from convlens.comparison.describe_cost import describe_cost, describe_filters
from convlens.comparison.describe_curves import describe_curves
from convlens.comparison.describe_data import describe_data
from convlens.comparison.describe_metrics import describe_first_metrics, describe_metrics
from convlens.comparison.describe_parameters import describe_parameters
from convlens.comparison.describe_verdict import describe_first, describe_verdict
from convlens.comparison.sections import Section

KINDS = (
    describe_verdict,
    describe_parameters,
    describe_metrics,
    describe_groups,
    describe_answers,
    describe_confusion,
    describe_data,
    describe_curves,
    describe_filters,
    describe_cost,
)


def describe(compared: RunsCompared | FirstResults) -> tuple[Section, ...]:
    """All sections that have something to say."""
    if isinstance(compared, FirstResults):
        return describe_first(compared), describe_first_metrics(compared)
    found = (describe_kind(compared) for describe_kind in KINDS)
    return tuple(section for section in found if section is not None)
