"""The view as one HTML page that needs nothing else: no server, no network, no fonts."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

from ebmlm.exploration.view import AnchorView, FeatureView, RolloutView

__all__ = ["as_html", "shown_text"]

# Characters of the context in the list of anchors.
_TAIL = 36
# Directions of the spectrum that are drawn.
_COMPONENTS = 24
# Share of a reward that other energies make and rounding does not.
_OTHER = 1e-4


def as_html(view: FeatureView) -> str:
    """Return the page: texts and numbers as HTML, and what is drawn as JSON beside a script.

    The same view gives the same page, byte by byte. Texts are escaped, characters that would not
    be seen are spelt out, and the page forbids every script but its own.
    """
    script = _template("drawing.js") + _template("page.js")
    other = any(_has_other(rollout) for anchor in view.anchors for rollout in anchor.rollouts)
    return _filled(
        _template("page.html"),
        {
            "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            "style": _template("page.css"),
            "script": script,
            "facts": _pairs({name: shown_text(value) for name, value in view.facts.items()}),
            "summary": _pairs(_summary(view)),
            "anchors": "".join(_link(n, each) for n, each in enumerate(view.anchors, start=1)),
            "articles": "".join(
                _article(n, each, other) for n, each in enumerate(view.anchors, start=1)
            ),
            "data": _json(_drawn(view)),
        },
    )


def shown_text(text: str) -> str:
    """Return a text as HTML that shows all of it: control and direction marks are spelt out."""
    return escape("".join(map(_visible, text))).replace("\n", '<span class="nl"></span>\n')


def _has_other(rollout: RolloutView) -> bool:
    scale = max(1.0, abs(rollout.alignment), abs(rollout.diversity))
    return abs(rollout.other) > _OTHER * scale


def _visible(character: str) -> str:
    code = ord(character)
    if character in "\n\t":
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code < 0xE000 or 0x80 <= code < 0xA0:
        return "\ufffd"
    if code in (0x061C, 0x200E, 0x200F) or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
        return f"\u27e8{code:04X}\u27e9"
    return character


def _template(name: str) -> str:
    return (files("ebmlm.exploration") / "templates" / name).read_text(encoding="utf-8")


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """Fill in ``{{name}}`` in one pass, so that nothing in a text is taken for a place."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found.group(1)], template)


def _json(content: Any) -> str:
    """JSON inside a script element: no ``<`` that could end it."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _pairs(pairs: Mapping[str, str]) -> str:
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in pairs.items()
    )


def _summary(view: FeatureView) -> dict[str, str]:
    samples = view.samples
    return {
        "anchors": str(len(view.anchors)),
        "mean reward": _number(view.mean("reward")),
        "mean alignment": _number(view.mean("alignment")),
        "mean diversity": _number(view.mean("diversity")),
        "distinct rollouts an anchor": f"{view.distinct:.2f} of {samples}",
        "duplicates": f"{view.duplicates:.1%}",
        "told apart by features": f"{view.effective:.2f} of {samples}",
        "effective components": f"{view.effective_components:.1f} of {view.size}",
    }


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "not finite"
    text = f"{value:.3f}" if abs(value) >= 5e-4 or value == 0 else f"{value:.0e}"
    text = re.sub(r"e-0*", "e-", text)
    return text.replace("-", "\u2212")


def _link(number: int, anchor: AnchorView) -> str:
    words = " ".join(anchor.context.split())
    tail = f"\u2026{words[-_TAIL:]}" if anchor.cut or len(words) > _TAIL else words
    return (
        f'<li><a href="#anchor-{number}"><b>{number}</b> <span class="tail">{shown_text(tail)}'
        f'</span> <span class="meta">reward {_number(anchor.mean("reward"))},'
        f" {anchor.distinct}/{len(anchor.rollouts)} distinct</span></a></li>\n"
    )


def _article(number: int, anchor: AnchorView, other: bool) -> str:
    names = ["reward", "alignment", "diversity", *(["other"] if other else []), "advantage"]
    heads = "".join(f'<th role="columnheader" scope="col">{name}</th>' for name in names)
    rows = "".join(_row(n, rollout, names) for n, rollout in enumerate(anchor.rollouts))
    cells = f'<td role="cell" class="blank" colspan="{len(names)}"></td>'
    more = "\u2026" if anchor.cut else ""
    return (
        f'<article id="anchor-{number}" aria-labelledby="title-{number}">\n'
        f'<h2 id="title-{number}">Anchor {number}'
        f"<small>row {anchor.row}, token {anchor.place}</small></h2>\n"
        f'<p class="context text" tabindex="0" aria-label="context">{more}'
        f"{shown_text(anchor.context)}</p>\n"
        f'<table role="table" class="of-{len(names)}"><thead role="rowgroup"><tr role="row">'
        '<th role="columnheader" scope="col"><span class="away">rollout</span></th>'
        f'<th role="columnheader" scope="col">continuation</th>{heads}</tr></thead>\n'
        '<tbody role="rowgroup">\n'
        '<tr role="row" class="real" data-sample="-1" tabindex="0">'
        '<th role="rowheader" scope="row">text</th>'
        f'<td role="cell" class="text">{_said(anchor.real)}</td>{cells}</tr>\n'
        f"{rows}</tbody></table>\n"
        f'<p class="note">{anchor.distinct} of {len(anchor.rollouts)} rollouts are distinct;'
        f" the features tell {anchor.effective:.2f} apart.</p>\n</article>\n"
    )


def _row(sample: int, rollout: RolloutView, names: list[str]) -> str:
    marks = []
    if rollout.same_as is not None:
        marks.append(f"same as {rollout.same_as + 1}")
    if rollout.ended:
        marks.append(f"ended after {rollout.tokens}")
    told = "".join(f' <span class="mark">{mark}</span>' for mark in marks)
    numbers = "".join(
        f'<td role="cell" class="number" data-name="{name}">{_number(getattr(rollout, name))}</td>'
        for name in names
    )
    return (
        f'<tr role="row" data-sample="{sample}" tabindex="0">'
        f'<th role="rowheader" scope="row">{sample + 1}</th>'
        f'<td role="cell" class="text">{_said(rollout.text)}{told}</td>{numbers}</tr>\n'
    )


def _said(text: str) -> str:
    return shown_text(text) if text else '<span class="mark">nothing</span>'


def _drawn(view: FeatureView) -> dict[str, Any]:
    return {
        "shares": [_rounded(share) for share in view.shares[:_COMPONENTS]],
        "anchors": [
            {
                "reference": _rounded(anchor.reference_shared),
                "referenceOwn": _rounded(anchor.reference_own),
                "ownShares": _rounded(anchor.own_shares),
                "cosines": _rounded(anchor.cosines),
                "pairs": _rounded(anchor.pairs),
                "shared": [_rounded(rollout.shared) for rollout in anchor.rollouts],
                "own": [_rounded(rollout.own) for rollout in anchor.rollouts],
                **{
                    name: [_rounded(getattr(rollout, name)) for rollout in anchor.rollouts]
                    for name in ("reward", "alignment", "diversity", "advantage")
                },
            }
            for anchor in view.anchors
        ],
    }


def _rounded(value: Any) -> Any:
    """Numbers with as many digits as can be seen; null for what is not finite."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return value
