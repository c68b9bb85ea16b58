"""What a lexicon holds, for people and as JSON: ``mmcs lexicon info``."""

from __future__ import annotations

import itertools
from typing import Any

from mmcs.codeswitch.lexicon import Lexicon, Ranked
from mmcs.lexicons.arguments import TALLIES
from mmcs.lexicons.frequency import STOP_WORDS, commonest
from mmcs.lexicons.reach import sentences, unreachable

SAMPLE = 5
SHOWN_CANDIDATES = 3


def describe(lexicon: Lexicon) -> dict[str, Any]:
    """The header without what only the reader needs, the file's size, phrases that never match, and a sample per language.

    ``unreachable``: phrases that no caption can hold, by cause.
    ``sample``: the commonest content words of the source language that the language translates, with their candidates.
    """
    header = {key: value for key, value in lexicon.header.items() if key != "sections"}
    samples = {language: _sample(lexicon, language) for language in lexicon.languages}
    about = {"path": str(lexicon.path), "bytes": lexicon.path.stat().st_size}
    return header | about | {"unreachable": unreachable(lexicon).as_dict(), "sample": samples}


def show(about: dict[str, Any]) -> None:
    """Prints what ``describe`` returns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(about["path"], "bold"), f" {about['bytes'] / 1e6:.1f} MB, format {about['version']}")
    console.print(f"{about['phrases']:,} phrases of 1 to {about['max_tokens']} words in {about['source_language']}")
    table = Table("language", "entries", "candidates", "per entry", "sample")
    for column in table.columns[1:4]:
        column.justify = "right"
    for language in about["languages"]:
        entries, candidates = about["entries"][language], about["candidates"][language]
        sample = Text("\n".join(map(_line, about["sample"][language])))
        table.add_row(language, f"{entries:,}", f"{candidates:,}", f"{candidates / entries:.2f}", sample)
    console.print(table)
    for sentence in sentences(about["unreachable"], about["phrases"]):
        console.print(sentence, markup=False)
    for source in about["sources"]:
        console.print(
            f"source: {source['name']}; from {source['provenance']}; licence {source['licence']}", markup=False
        )
        for note in source.get("notes", ()):
            console.print(f"  note: {note}", markup=False)
        for key, done in TALLIES.items():
            for cause, about_it in source.get(key, {}).items():
                examples = "; ".join(about_it["examples"][:2])
                console.print(f"  {done}: {about_it['count']:,} x {cause} (e.g. {examples})", markup=False)
    console.print(f"checksum: {about['checksum']}")


def _line(one: dict[str, Any]) -> str:
    texts = one["candidates"][:SHOWN_CANDIDATES]
    shown = zip(texts, one.get("pos", [""] * len(texts)), strict=False)
    return f"{one['phrase']}: {', '.join(f'{text} ({pos})' if pos else text for text, pos in shown)}"


def _sample(lexicon: Lexicon, language: str) -> list[dict[str, Any]]:
    common = [word for word in commonest(lexicon.source_language)[STOP_WORDS:] if word.isalpha()]
    chosen = [word for word in common if lexicon.candidates(word, language)][:SAMPLE]
    if len(chosen) < SAMPLE:
        first = (phrase for phrase, _ in itertools.islice(lexicon.items(language), 2 * SAMPLE))
        chosen = list(dict.fromkeys([*chosen, *first]))[:SAMPLE]
    return [_entry(word, lexicon.candidates(word, language)) for word in chosen]


def _entry(phrase: str, found: Ranked) -> dict[str, Any]:
    labels = {"pos": [one.pos for one in found]} if any(one.pos for one in found) else {}
    return {"phrase": phrase, "candidates": [one.text for one in found], **labels}
