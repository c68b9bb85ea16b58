"""Translate-Test: queries are put into English, by a dictionary or by a translator, before the model reads them.

A baseline that needs no training, and a row of its own: a dictionary's and a real translator's are told apart by name.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from mmcs.codeswitch.build import build_strategy
from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.lexicon import Lexicon
from mmcs.codeswitch.strategy import Caption
from mmcs.common.language_tags import find_languages, language_tag
from mmcs.errors import UserError
from mmcs.evaluation.protocols import sides
from mmcs.evaluation.ranking import IMAGE, TASKS, About, Ranking, rank
from mmcs.evaluation.rows import Row, rows_of
from mmcs.evaluation.setting import Encode
from mmcs.evaluation.suite import Embedded, Texts
from mmcs.retrieval.languages import ENGLISH

Translator = Callable[[Sequence[str]], list[str]]


class TranslateTest:
    """Captions of every language that has a translator, in English, ask for images.

    Args:
        name: what stands behind ``translate_test:`` in the figures.
        translators: language tag → translator into English.

    Attributes:
        translators: by canonical tag; one serves the regional variants that a suite has, too.
    """

    def __init__(self, name: str, translators: Mapping[str, Translator]) -> None:
        self.name = name
        self.translators = {language_tag(language): translate for language, translate in translators.items()}

    def rankings(self, embedded: Embedded, protocol: str, encode: Encode, device: torch.device) -> Iterator[Ranking]:
        """Nothing where the suite has none of the languages."""
        for language, source in find_languages(embedded.texts, self.translators).items():
            own, translate = embedded.texts[language], self.translators[source]
            captions = translate(own.captions)
            texts = Texts(own.ids, own.groups, encode(captions), captions, own.numbers)
            images, of = sides(embedded.with_texts({language: texts}), device)
            transform = f"translate_test:{self.name}"
            about = About(embedded.suite, embedded.split, protocol, "CLIR", transform, TASKS[0], language, IMAGE)
            found = rank(about, of[language], images)
            if found is not None:
                yield found

    def rows(self, rankings: Sequence[Ranking], seen: Collection[str]) -> list[Row]:
        return rows_of(rankings, seen) if rankings else []


def dictionary(path: Path) -> tuple[str, Translator]:
    """The source language of a lexicon into English, and the translator: word by word, the first candidate (the study's way).

    Raises:
        UserError: the lexicon does not lead into English.
    """
    lexicon = Lexicon.open(path)
    if ENGLISH not in lexicon.languages or lexicon.source_language == ENGLISH:
        raise UserError(
            f"{path} translates from {lexicon.source_language} to {', '.join(lexicon.languages)}; Translate-Test needs a lexicon "
            "into English ('mmcs lexicon invert' makes one)."
        )
    word_by_word = {"strategy": "dictionary", "max_tokens": 1, "content_words_only": False}
    strategy = build_strategy(word_by_word | {"lexicons": [str(path)], "languages": [ENGLISH]})

    def translate(texts: Sequence[str]) -> list[str]:
        return [strategy(Caption(text, {}), Draw(0, 0, text, 0)).text for text in texts]

    return lexicon.source_language, translate


def command(line: str) -> Translator:
    """A program that reads lines and writes as many, translated, such as ``apertium -u spa-eng``. It is run without a shell.

    Raises:
        UserError: it does not exist; (when called) it fails, or writes another number of lines.
    """
    try:
        arguments = shlex.split(line)
    except ValueError as error:
        raise UserError(f"the translator {line!r} cannot be read as a command ({error}).") from None
    if not arguments:
        raise UserError(
            "a translator is a command that maps lines to lines, such as 'apertium -u spa-eng'; this one is empty."
        )
    if shutil.which(arguments[0]) is None:
        raise UserError(f"the translator {arguments[0]!r} of {line!r} is no program on this machine.")

    def translate(texts: Sequence[str]) -> list[str]:
        lines = "".join(f"{' '.join(text.split())}\n" for text in texts)
        done = subprocess.run(arguments, input=lines.encode(), capture_output=True, check=False)
        if done.returncode:
            told = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1][:200]
            raise UserError(
                f"the translator {line!r} ended with exit code {done.returncode}: {told or 'it said nothing'}."
            )
        found = done.stdout.decode("utf-8", "replace").removesuffix("\n").split("\n")
        if len(found) != len(texts):
            raise UserError(
                f"the translator {line!r} made {len(found)} lines of {len(texts)}; it must give a line for a line."
            )
        return [text.strip() for text in found]

    return translate
