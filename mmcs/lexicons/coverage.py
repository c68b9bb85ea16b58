"""How much of a text a lexicon can switch, per language: ``mmcs lexicon coverage``.

Words are found as the strategies find them (``segment``). Content words are those with a letter that are not function
words of the source language (``frequency.stop_words``).
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
    """Shares of the words of ``texts`` that ``lexicon`` knows.

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
    lookup = Lookup(lexicon)
    counts: Counter[str] = Counter()
    number = 0
    for text in texts:
        number += 1
        counts.update(map(lookup.normalise, segment(text, lookup.split)[1::2]))
    if not counts:
        raise DataError(f"no word was found in {number} texts; nothing can be covered.")
    stop = stop_words(lexicon.source_language)
    content = {word: n for word, n in counts.items() if word not in stop and any(map(str.isalpha, word))}
    known: dict[str, set[str]] = {language: set() for language in lexicon.languages}
    by_lemma: dict[str, set[str]] = {language: set() for language in lexicon.languages}
    for word in counts:
        for language in lexicon.languages_of(word):
            known[language].add(word)
        for lemma in lemmas(word) if lemmas else ():
            for language in lexicon.languages_of(lemma):
                by_lemma[language].add(word)
    listed = f"the {STOP_WORDS} commonest words of {lexicon.source_language}, as far as they are function words"
    return {
        "texts": number,
        "tokens": counts.total(),
        "content_tokens": sum(content.values()),
        "stop_words": listed if stop else "none",
        "languages": {
            language: _of_language(counts, content, known[language], by_lemma[language] if lemmas else None, top)
            for language in lexicon.languages
        },
    }


def _of_language(
    counts: Counter[str], content: dict[str, int], known: set[str], by_lemma: set[str] | None, top: int
) -> dict[str, Any]:
    def of(covered: set[str], suffix: str = "") -> dict[str, Any]:
        missing = sorted((word for word in content if word not in covered), key=lambda word: (-content[word], word))
        return {
            f"tokens{suffix}": sum(counts[word] for word in covered) / counts.total(),
            f"content_tokens{suffix}": sum(content.get(word, 0) for word in covered) / max(sum(content.values()), 1),
            f"uncovered{suffix}": [[word, content[word]] for word in missing[:top]],
        }

    return of(known) | (of(known | by_lemma, "_with_lemmas") if by_lemma is not None else {})


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
