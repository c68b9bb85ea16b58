"""``mmcs switch --html``: a page of examples, captions before and after the switch, coloured by language."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcs.codeswitch.strategy import Switched
from mmcs.files import atomic_file

MAX_CAPTIONS = 1000

_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mmcs switch: examples</title>
<style>
:root { color-scheme: light dark; --line: #8884; --dim: #777; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .3rem; }
p, table { color: inherit; } .dim { color: var(--dim); font-size: .9rem; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
article { border-top: 1px solid var(--line); padding: .6rem 0; }
article p { margin: .15rem 0; overflow-wrap: anywhere; }
b { font-weight: 600; border-radius: .25em; padding: 0 .2em; }
{% for language in languages %}.{{ classes[language] }} { background: hsl({{ (loop.index0 * 137) % 360 }} 75% 50% / .22); }
{% endfor %}
</style>
<h1>Captions as training would read them</h1>
<p class="dim">{% for key, value in settings.items() %}{{ key }}: {{ value if value is string or value is not iterable else value | join(", ") }}{{ " · " if not loop.last }}{% endfor %}</p>
<table>
<tr><th>language</th><th>words replaced</th><th>share of all words</th></tr>
{% for language in languages %}<tr><td><b class="{{ classes[language] }}">{{ language }}</b></td>
<td class="n">{{ replaced[language] }}</td><td class="n">{{ "%.1f" | format(100 * replaced[language] / words) }} %</td></tr>
{% endfor %}
</table>
<p>{{ captions | length }} captions{% if left_out %} (and {{ left_out }} more, left out here){% endif %}, {{ versions }} versions,
{{ unchanged }} of them unchanged.</p>
{% for of_caption in captions %}<article>
<p class="dim" dir="auto">{{ of_caption[0].original }}</p>
{% for switched in of_caption %}<p dir="auto">{% for text, language in switched.pieces() %}{% if language %}<b class="{{ classes[language] }}" lang="{{ language }}" title="{{ language }}"><bdi>{{ text }}</bdi></b>{% else %}{{ text }}{% endif %}{% endfor %}</p>
{% endfor %}</article>
{% endfor %}
</html>
"""


def write_page(
    path: str | os.PathLike[str],
    captions: Iterable[Sequence[Switched]],
    languages: Sequence[str],
    *,
    settings: Mapping[str, Any],
) -> Path:
    """Writes the page: per caption the original and its versions; at most ``MAX_CAPTIONS`` of them, the rest counted."""
    from jinja2 import Environment

    shown: list[Sequence[Switched]] = []
    left_out = words = versions = unchanged = 0
    replaced: Counter[str] = Counter()
    for of_caption in captions:
        if len(shown) < MAX_CAPTIONS:
            shown.append(of_caption)
        else:
            left_out += 1
        for switched in of_caption:
            versions += 1
            words += switched.words
            unchanged += switched.text == switched.original
            replaced.update(switched.languages())
    page = (
        Environment(autoescape=True, trim_blocks=True)
        .from_string(_TEMPLATE)
        .render(
            captions=shown,
            left_out=left_out,
            versions=versions,
            unchanged=unchanged,
            words=max(1, words),
            replaced=replaced,
            languages=languages,
            classes={language: f"l{i}" for i, language in enumerate(languages)},
            settings=settings,
        )
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return Path(path)
