"""Compares the languages that a user names for two columns with the words in them: columns may be the wrong way round.

Evidence per row is the script of both cells and how common they are in either language. Builders whose files do not name
their languages call it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import regex

from mmcs.errors import UserError
from mmcs.lexicons.frequency import zipf

LOOKED_AT = 1000  # rows
_CLEAR = 1.0  # difference of Zipf frequencies from which a row counts
_LEAST, _TIMES = 3, 4  # so many rows against the order, and so many times those for it
_SCRIPT = 9.0  # what a cell in another script counts: more than any frequency


class Order:
    """Counts rows for and against an order of two columns.

    Args:
        source, target: languages of the first and the second column (BCP 47).
    """

    def __init__(self, source: str, target: str) -> None:
        self.source, self.target = source, target
        self.rows = self.right = self.wrong = 0
        self._example = ""

    def add(self, source: str, target: str) -> None:
        """Takes one row into account."""
        if self.rows >= LOOKED_AT:
            return
        self.rows += 1
        if source.casefold() == target.casefold():
            return
        given = _fits(source, self.source) + _fits(target, self.target)
        turned = _fits(source, self.target) + _fits(target, self.source)
        if given - turned >= _CLEAR:
            self.right += 1
        elif turned - given >= _CLEAR:
            self.wrong += 1
            self._example = self._example or f"'{source.strip()[:40]}' and '{target.strip()[:40]}'"

    def check(self, path: Path, todo: str) -> None:
        """Raises UserError where the columns are the wrong way round; ``todo`` says what to do."""
        if self.wrong >= _LEAST and self.wrong >= _TIMES * self.right:
            raise UserError(
                f"{path}: the columns of {self.source} and {self.target} seem to be the wrong way round ({self.wrong:,} of "
                f"{self.rows:,} rows, such as {self._example}); {todo}."
            )


def _fits(text: str, language: str) -> float:
    """How well a text fits a language: its Zipf frequency, less where it is in another script."""
    letters = [char for char in text if char.isalpha()]
    script = _script(language)
    foreign = sum(script.match(char) is None for char in letters) if script is not None else 0
    return zipf(text, language, "small") - (_SCRIPT if 2 * foreign > len(letters) else 0.0)


@cache
def _script(language: str) -> regex.Pattern | None:
    """The letters of a language; None where its script is not known."""
    import langcodes

    script = langcodes.Language.get(language).maximize().script or ""
    names = {"Hans": "Han", "Hant": "Han", "Jpan": "Han Hiragana Katakana", "Kore": "Hangul Han"}.get(script, script)
    try:
        return regex.compile("[" + "".join(rf"\p{{Script={name}}}" for name in names.split()) + r"\p{Script=Common}]")
    except regex.error:
        return None
