"""What a lexicon holds, for people and as JSON: ``mmcs lexicon info``."""

from __future__ import annotations

import itertools
from typing import Any

from mmcs.codeswitch.lexicon import Lexicon
from mmcs.lexicons.frequency import STOP_WORDS, commonest

SAMPLE = 5
SHOWN_CANDIDATES = 3


def describe(lexicon: Lexicon) -> dict[str, Any]:
    """The header without what only the reader needs, the file's size, and a sample per language.

    ``sample``: the commonest content words of the source language that the language translates, with their candidates.
    """
    header = {key: value for key, value in lexicon.header.items() if key != "sections"}
    samples = {language: _sample(lexicon, language) for language in lexicon.languages}
    return header | {"path": str(lexicon.path), "bytes": lexicon.path.stat().st_size, "sample": samples}


def show(about: dict[str, Any]) -> None:
    """Prints what ``describe`` returns."""
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{about['path']}[/bold]  {about['bytes'] / 1e6:.1f} MB, format {about['version']}")
    console.print(f"{about['phrases']:,} phrases of 1 to {about['max_tokens']} words in {about['source_language']}")
    table = Table("language", "entries", "candidates", "per entry", "sample")
    for column in table.columns[1:4]:
        column.justify = "right"
    for language in about["languages"]:
        entries, candidates = about["entries"][language], about["candidates"][language]
        sample = "\n".join(
            f"{one['phrase']}: {', '.join(one['candidates'][:SHOWN_CANDIDATES])}" for one in about["sample"][language]
        )
        table.add_row(language, f"{entries:,}", f"{candidates:,}", f"{candidates / entries:.2f}", sample)
    console.print(table)
    for source in about["sources"]:
        console.print(
            f"source: {source['name']}; from {source['provenance']}; licence {source['licence']}", markup=False
        )
        for cause, left in source.get("left_out", {}).items():
            console.print(
                f"  left out: {left['count']:,} x {cause} (e.g. {'; '.join(left['examples'][:2])})", markup=False
            )
    console.print(f"checksum: {about['checksum']}")


def _sample(lexicon: Lexicon, language: str) -> list[dict[str, Any]]:
    common = [word for word in commonest(lexicon.source_language)[STOP_WORDS:] if word.isalpha()]
    chosen = [word for word in common if lexicon.candidates(word, language)][:SAMPLE]
    if len(chosen) < SAMPLE:
        first = (phrase for phrase, _ in itertools.islice(lexicon.items(language), 2 * SAMPLE))
        chosen = list(dict.fromkeys([*chosen, *first]))[:SAMPLE]
    return [
        {"phrase": word, "candidates": [candidate.text for candidate in lexicon.candidates(word, language)]}
        for word in chosen
    ]
