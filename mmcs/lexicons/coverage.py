"""How much of a text a lexicon can switch, per language: ``mmcs lexicon coverage``.

Words are found as the strategies find them (``segment``). Content words are those with a letter that are neither
measures ("5 km") nor function words of the source language (``frequency.stop_words``).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcs.codeswitch.lexicon import Lexicon
from mmcs.codeswitch.lookup import Lookup
from mmcs.codeswitch.segment import segment
from mmcs.common.caption_text import clean_caption
from mmcs.errors import DataError, UserError
from mmcs.lexicons.frequency import STOP_WORDS, stop_words
from mmcs.prepare.records import Tally

if TYPE_CHECKING:
    from mmcs.stream.sources import Reading


def coverage(
    texts: Iterable[str], lexicon: Lexicon, *, top: int = 20, lemmas: Callable[[str], Sequence[str]] | None = None
) -> dict[str, Any]:
    """Shares of the words of ``texts`` that ``lexicon`` has, by themselves or in a phrase.

    Args:
        texts: captions.
        lexicon: what is measured.
        top: number of uncovered words to name.
        lemmas: the base forms of a normalised word; with it, what base forms add is counted too.

    Returns:
        ``texts``, ``tokens``, ``content_tokens`` (counts), ``stop_words`` (which), and per language under ``languages``:
        ``tokens`` and ``content_tokens`` (shares, 0 to 1) and ``uncovered`` (the ``top`` content words that are not
        covered, with counts, the most frequent first); with ``lemmas`` the same three with ``_with_lemmas`` behind their
        names.

    Raises:
        DataError: there is no word in ``texts``.
    """
    kinds = {"": _Covered(lexicon)} | ({"_with_lemmas": _Covered(lexicon, lemmas)} if lemmas else {})
    number = 0
    for text in texts:
        number += 1
        for kind in kinds.values():
            kind.add(text)
    counts = kinds[""].counts
    if not counts:
        raise DataError(f"no word was found in {number} texts; nothing can be covered.")
    stop = stop_words(lexicon.source_language)
    content = {word: n for word, n in counts.items() if word not in stop and _has_letter(word)}
    languages: dict[str, dict[str, Any]] = {language: {} for language in lexicon.languages}
    for suffix, kind in kinds.items():
        for language, covered in kind.by_language().items():
            shares = _of_language(counts, content, covered, top)
            languages[language] |= {f"{name}{suffix}": value for name, value in shares.items()}
    listed = f"the {STOP_WORDS} commonest words of {lexicon.source_language}, as far as they are function words"
    return {
        "texts": number,
        "tokens": counts.total(),
        "content_tokens": sum(content.values()),
        "stop_words": listed if stop else "none",
        "languages": languages,
    }


def _has_letter(word: str) -> bool:
    return any(map(str.isalpha, word)) and not word[0].isdigit()


class _Covered:
    """Counts the words of texts, and those of them that each language of a lexicon has, by themselves or in a phrase."""

    def __init__(self, lexicon: Lexicon, lemmas: Callable[[str], Sequence[str]] | None = None) -> None:
        self.lexicon, self.lemmas = lexicon, lemmas
        self.lookup = Lookup(lexicon, lemmas=lemmas)
        self.counts: Counter[str] = Counter()
        self.in_phrases: dict[str, Counter[str]] = {language: Counter() for language in lexicon.languages}

    def add(self, text: str) -> None:
        parts = segment(text, self.lookup.split)
        words = list(map(self.lookup.normalise, parts[1::2]))
        self.counts.update(words)
        places: dict[str, set[int]] = {}
        for window in self.lookup.windows(parts):
            for key in window.keys:
                for language in self.lexicon.languages_of(key.phrase):
                    places.setdefault(language, set()).update(range(window.first >> 1, (window.last >> 1) + 1))
        for language, of_language in places.items():
            self.in_phrases[language].update(words[place] for place in of_language)

    def by_language(self) -> dict[str, Counter[str]]:
        """Per language and word, how many of its occurrences are covered."""
        covered = {language: counts.copy() for language, counts in self.in_phrases.items()}
        for word, n in self.counts.items():
            for form in (word, *(self.lemmas(word) if self.lemmas else ())):
                for language in self.lexicon.languages_of(form):
                    covered[language][word] = n
        return covered


def _of_language(counts: Counter[str], content: dict[str, int], covered: Counter[str], top: int) -> dict[str, Any]:
    missing = {word: n - covered[word] for word, n in content.items() if n > covered[word]}
    total = sum(content.values())
    return {
        "tokens": covered.total() / counts.total(),
        "content_tokens": (total - sum(missing.values())) / max(total, 1),
        "uncovered": [list(one) for one in sorted(missing.items(), key=lambda one: (-one[1], one[0]))[:top]],
    }


def texts_of_file(path: str | os.PathLike[str]) -> Iterator[str]:
    """The captions of a text file, one a line (UTF-8, with or without a byte-order mark).

    Raises:
        UserError: there is no such file. DataError: it is not UTF-8.
    """
    try:
        with Path(path).open(encoding="utf-8-sig") as handle:
            yield from map(clean_caption, handle)
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"there is no text file {path}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8.") from None


def texts_of_shards(
    shards: Sequence[str], language: str, dropped: Tally, reading: Reading | None = None
) -> Iterator[str]:
    """All captions in ``language`` of the samples in ``shards``; what cannot be read is counted in ``dropped``."""
    from mmcs.progress import track
    from mmcs.stream.drops import BadSample
    from mmcs.stream.parse import ParseSample
    from mmcs.stream.read import TEXT_EXTENSIONS, ReadSample
    from mmcs.stream.sources import Reading

    reading = reading or Reading()
    read = ReadSample(extensions=TEXT_EXTENSIONS)
    parse = ParseSample((language,), text_language=reading.text_language)
    for shard in track(reading.expand(shards), "Reading captions"):
        try:
            promised = len(read.index(shard))
            lost = read.surplus(shard, promised)
        except OSError as error:
            dropped.add("unreadable archive", f"{shard.label} ({error})")
            continue
        for ordinal in range(promised):
            sample: dict[str, Any] = {"origin": shard, "ordinal": ordinal, "promised": promised, "epoch": 0, "pass": 0}
            try:
                yield from parse(read(sample))["captions"].get(language, ())
            except BadSample as bad:
                dropped.add(bad.cause, f"{shard.label}/{sample['key']}{f' ({bad.detail})' if bad.detail else ''}")
        for drop in lost:
            dropped.add(drop.cause, f"{drop.shard}/{drop.key} ({drop.detail})")


def show(result: dict[str, Any]) -> None:
    """Prints what ``coverage`` returns."""
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"{result['texts']:,} texts, {result['tokens']:,} words, {result['content_tokens']:,} of them content words "
        f"(stop words: {result['stop_words']})"
    )
    lemmas = any("uncovered_with_lemmas" in of for of in result["languages"].values())
    heads = ("words", "content words", *(("with base forms", "gain") if lemmas else ()))
    table = Table("language", *heads, "most frequent uncovered content words")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for language, of in result["languages"].items():
        shares = [of["tokens"], of["content_tokens"]]
        if lemmas:
            shares += [of["content_tokens_with_lemmas"], of["content_tokens_with_lemmas"] - of["content_tokens"]]
        words = ", ".join(f"{word} ({n})" for word, n in of["uncovered_with_lemmas" if lemmas else "uncovered"])
        table.add_row(language, *(f"{share:.1%}" for share in shares), words)
    console.print(table)
