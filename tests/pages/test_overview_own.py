from dataclasses import replace

import pandas as pd
from overview_inputs import make_inputs, paint

from convlens.pages.report import render_report
from convlens.pages.user_photos import describe_own


def make_own(num_photos: int = 2) -> pd.DataFrame:
    rows = [
        {
            "path": f"photos of mine/{index} <b>.jpg", "label": "dogs" if index else "", "predicted": "cats",
            "correct": False if index else None, "probability_cats": 0.91, "probability_dogs": 0.09,
            "probability": 0.91, "unsure_below": 0.75, "distance": 0.4, "unlike_above": 0.3 + 0.2 * (index % 2),
            "held_out_closer": 0.99, "num_shifts": 16, "num_same": 16, "believe": bool(index % 2), "why": "A reason.",
            "error": "",
        }
        for index in range(num_photos)
    ]  # fmt: skip
    return pd.DataFrame([*rows, {"path": "broken.jpg", "error": "the file ends early"}])


def test_own_photos_have_a_section_with_their_evidence() -> None:
    own = make_own()
    pictures = {path: paint(path) for path in own["path"]}
    page = render_report(replace(make_inputs(), own=own, own_pictures=pictures))
    start = page.index('<section id="own"')
    section = page[start : page.index("</section>", start)]
    assert '<a href="#own">Your photos</a>' in page
    assert "2 photos of yours; 1 answer should not be relied on." in section
    assert section.count("data:image/jpeg;base64,") == 2
    assert section.count("do not rely on it") == 1
    assert section.count("nothing speaks against it") == 1
    assert "photos of mine/1 &lt;b&gt;.jpg · its folder says dogs: wrong" in section
    doubtful = section.partition('<dd class="doubtful">')[2].partition("</dd>")[0]
    assert doubtful == "0.400, further than 99.0\N{NO-BREAK SPACE}% of the held-out photos; unlike above 0.300"
    assert "; unlike above 0.500</dd>" in section
    assert "the file ends early" in section
    assert "answered 16 times more" in section


def test_without_own_photos_nothing_is_said_of_them() -> None:
    page = render_report(make_inputs())
    assert 'id="own"' not in page
    assert "#own" not in page


def test_many_photos_are_shown_in_part() -> None:
    shown = describe_own(make_own(75), {})
    assert shown is not None
    assert (len(shown["photos"]), shown["num_hidden"], shown["num_photos"]) == (60, 15, 75)


def test_only_broken_photos() -> None:
    shown = describe_own(make_own(0).assign(believe=None, label=""), {})
    assert shown is not None
    assert (shown["sentence"], len(shown["failures"])) == ("None of your photos could be read.", 1)
