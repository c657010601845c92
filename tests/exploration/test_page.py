"""The page: whole, closed to what texts may hold, and the same each time."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from ebmlm.exploration import FeatureView, as_html
from ebmlm.exploration.page import shown_text
from tests.exploration.views import anchor_view, feature_view, rollout_view

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    '"><img src=x onerror="window.hacked = 1">',
    "' onmouseover='window.hacked = 1",
    "</td></table></article><h1>",
    "{{data}} {{style}} {{nothing}} $data &lt;b&gt; &amp;",
    "]]> \\u003c \\n ${1}",
]


class Reader(HTMLParser):
    """Collects tags, attributes, and the text inside elements of some class or name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += given.items()
        if tag not in ("meta", "link", "br", "img", "input"):
            name = given.get("id") or given.get("class") or tag
            self.open.append(name)
            self.texts.setdefault(name, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if self.open:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        for name in set(self.open):
            self.texts[name][-1] += data


def hostile_view() -> FeatureView:
    rollouts = [rollout_view(text) for text in HOSTILE]
    anchors = [anchor_view(*rollouts, context=text, real=text) for text in HOSTILE]
    return feature_view(*anchors, policy=HOSTILE[0], **{"</dt><script>": HOSTILE[2]})


def test_hostile_texts_stay_texts() -> None:
    plain = feature_view(
        *[anchor_view(*[rollout_view() for _ in HOSTILE]) for _ in HOSTILE], policy="a", other="b"
    )
    hostile, harmless = Reader(as_html(hostile_view())), Reader(as_html(plain))
    assert hostile.tags == harmless.tags
    assert {name for name, _ in hostile.attributes} == {name for name, _ in harmless.attributes}
    assert hostile.tags.count("script") == 2
    shown = hostile.texts["text"]
    assert len(shown) == len(HOSTILE) * (len(HOSTILE) + 1)
    for place, text in enumerate(HOSTILE):
        group = shown[place * (len(HOSTILE) + 1) :][: len(HOSTILE) + 1]
        assert group == [text, *HOSTILE]
        assert hostile.texts["context text"][place] == f"\u2026{text}"
    assert HOSTILE[0] in hostile.texts["facts"][0]


def test_nothing_is_fetched_and_no_other_script_runs() -> None:
    page = as_html(hostile_view())
    found = Reader(page)
    links = [value for name, value in found.attributes if name in ("src", "href", "action")]
    assert all(value.startswith(("#anchor-", "data:")) for value in links)
    assert not re.search(r"@import|url\(", page.partition("<body>")[0])
    script = found.texts["script"][-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [
        value for name, value in found.attributes if name == "content" and "default" in value
    ]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "style"]


def test_the_script_finds_what_it_looks_for() -> None:
    page = as_html(feature_view(anchor_view(rollout_view())))
    script = Reader(page).texts["script"][-1]
    for name in {*re.findall(r'"#([a-z]+)"', script), *re.findall(r'"(own|data)"', script)}:
        assert f'id="{name}"' in page, name
    drawn = json.loads(Reader(page).texts["data"][0])
    for name in re.findall(r"\banchor\.([a-zA-Z]+)\b", script):
        assert name in drawn["anchors"][0], name


def test_numbers_are_drawn_as_they_are() -> None:
    view = feature_view(
        anchor_view(
            rollout_view(reward=1 / 3, shared=(1e-12, 2.5)),
            rollout_view(reward=float("inf"), alignment=float("nan"), own=(1.0, 2.0)),
            reference_shared=None,
            reference_own=None,
            pairs=None,
        )
    )
    page = as_html(view)
    (anchor,) = json.loads(Reader(page).texts["data"][0])["anchors"]
    assert anchor["reward"] == [0.33333, None]
    assert anchor["alignment"] == [0.75, None]
    assert anchor["shared"][0] == [1e-12, 2.5]
    assert anchor["own"][1] == [1.0, 2.0]
    assert anchor["reference"] is anchor["referenceOwn"] is anchor["pairs"] is None
    numbers = Reader(page).texts["number"]
    assert numbers[:5] == ["0.333", "0.750", "0.500", "0.083", "\u22120.125"]
    assert numbers[5:7] == ["not finite", "not finite"]


def heads(view: FeatureView) -> list[str]:
    return [text.strip() for text in Reader(as_html(view)).texts["th"][2:-2]]


def test_other_energies_have_a_column_where_there_are_any() -> None:
    view = feature_view(anchor_view(rollout_view()))
    assert heads(view)[:4] == ["reward", "alignment", "diversity", "advantage"]
    more = feature_view(anchor_view(rollout_view(reward=0.5)))
    assert heads(more)[:5] == ["reward", "alignment", "diversity", "other", "advantage"]
    assert Reader(as_html(more)).texts["number"][3] == "0.250"


def test_marks_and_summary_are_told() -> None:
    rollouts = [
        rollout_view("x"),
        rollout_view("x", same_as=0, ended=True, tokens=2),
        rollout_view(""),
    ]
    found = Reader(as_html(feature_view(anchor_view(*rollouts, distinct=2))))
    assert found.texts["mark"] == ["same as 1", "ended after 2", "nothing"]
    summary = found.texts["summary"][0]
    for words in ("2.00 of 3", "33.3%", "1.50 of 3", "2.8 of 5", "mean alignment0.750"):
        assert words in summary


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", 'a<span class="nl"></span>\nb'),
        ("\ttab\r\n", '\ttab\u240d<span class="nl"></span>\n'),
        ("nul \x00 escape \x1b[31m", "nul \u2400 escape \u241b[31m"),
        ("\x7f\x85", "\u2421\ufffd"),
        ("left \u202e right", "left \u27e8202E\u27e9 right"),
        ("\ud800", "\ufffd"),
        ("<&\"'>", "&lt;&amp;&quot;&#x27;&gt;"),
        ("na\u00efve \u6587 \U0001f600", "na\u00efve \u6587 \U0001f600"),
    ],
)
def test_what_would_not_be_seen_is_spelt_out(text: str, shown: str) -> None:
    assert shown_text(text) == shown
    as_html(feature_view(anchor_view(rollout_view(text)))).encode("utf-8")


def test_the_same_view_is_the_same_page() -> None:
    view = hostile_view()
    assert as_html(view) == as_html(dataclasses.replace(view))
    other: Any = dataclasses.replace(view, effective_components=9.0)
    assert as_html(other) != as_html(view)
