"""How much of a text a lexicon can switch, per language: ``mmcs lexicon coverage``.

Words are found as the strategies find them (``segment``). Content words are those with a letter that are not among the
commonest words of the source language (``frequency.stop_words``, from wordfreq).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmcs.codeswitch.lexicon import Lexicon, normalise
from mmcs.codeswitch.segment import segment
from mmcs.errors import DataError, UserError
from mmcs.lexicons.frequency import STOP_WORDS, stop_words
from mmcs.prepare.records import Tally


def coverage(texts: Iterable[str], lexicon: Lexicon, *, top: int = 20) -> dict[str, Any]:
    """Shares of the words of ``texts`` that ``lexicon`` knows.

    Returns:
        ``texts``, ``tokens``, ``content_tokens`` (counts), ``stop_words`` (which), and per language under ``languages``:
        ``tokens`` and ``content_tokens`` (shares, 0 to 1) and ``uncovered`` (the ``top`` content words that are not
        covered, with counts, the most frequent first).

    Raises:
        DataError: there is no word in ``texts``.
    """
    counts: Counter[str] = Counter()
    number = 0
    for text in texts:
        number += 1
        counts.update(normalise(text[start:end]) for start, end in segment(text))
    if not counts:
        raise DataError(f"no word was found in {number} texts; nothing can be covered.")
    stop = stop_words(lexicon.source_language)
    content = {word: n for word, n in counts.items() if word not in stop and any(map(str.isalpha, word))}
    known: dict[str, Counter[str]] = {language: Counter() for language in lexicon.languages}
    for word, n in counts.items():
        for language in lexicon.languages_of(word):
            known[language][word] = n
    return {
        "texts": number,
        "tokens": counts.total(),
        "content_tokens": sum(content.values()),
        "stop_words": f"the {STOP_WORDS} commonest words of {lexicon.source_language} (wordfreq)" if stop else "none",
        "languages": {language: _of_language(counts, content, known[language], top) for language in lexicon.languages},
    }


def _of_language(counts: Counter[str], content: dict[str, int], known: Counter[str], top: int) -> dict[str, Any]:
    uncovered = sorted((word for word in content if word not in known), key=lambda word: (-content[word], word))
    covered = sum(n for word, n in content.items() if word in known)
    return {
        "tokens": known.total() / counts.total(),
        "content_tokens": covered / max(sum(content.values()), 1),
        "uncovered": [[word, content[word]] for word in uncovered[:top]],
    }


def texts_of_file(path: str | os.PathLike[str]) -> Iterator[str]:
    """The lines of a text file (UTF-8, with or without a byte-order mark).

    Raises:
        UserError: there is no such file. DataError: it is not UTF-8.
    """
    try:
        with Path(path).open(encoding="utf-8-sig") as handle:
            yield from handle
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"there is no text file {path}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8.") from None


def texts_of_shards(shards: Sequence[str], language: str, dropped: Tally) -> Iterator[str]:
    """All captions in ``language`` of the samples in ``shards``; what cannot be read is counted in ``dropped``."""
    from mmcs.progress import track
    from mmcs.stream.drops import BadSample
    from mmcs.stream.parse import ParseSample
    from mmcs.stream.read import TEXT_EXTENSIONS, ReadSample
    from mmcs.stream.sources import expand
    from mmcs.stream.tar import index_shard

    read, parse = ReadSample(extensions=TEXT_EXTENSIONS), ParseSample()
    for shard in track(expand(shards), "Reading captions"):
        promised = len(index_shard(shard.path))
        for ordinal in range(promised):
            sample: dict[str, Any] = {"origin": shard, "ordinal": ordinal, "promised": promised}
            try:
                yield from parse(read(sample))["captions"].get(language, ())
            except BadSample as bad:
                dropped.add(bad.cause, f"{shard.label} sample {ordinal}")


def show(result: dict[str, Any]) -> None:
    """Prints what ``coverage`` returns."""
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"{result['texts']:,} texts, {result['tokens']:,} words, {result['content_tokens']:,} of them content words "
        f"(stop words: {result['stop_words']})"
    )
    table = Table("language", "words", "content words", "most frequent uncovered content words")
    for column in table.columns[1:3]:
        column.justify = "right"
    for language, of in result["languages"].items():
        words = ", ".join(f"{word} ({n})" for word, n in of["uncovered"])
        table.add_row(language, f"{of['tokens']:.1%}", f"{of['content_tokens']:.1%}", words)
    console.print(table)
