"""What dictionaries and glossaries write around words: articles, genders, infinitive marks, placeholders.

Rules on text alone. ``senses`` (FreeDict) and ``cells`` (glossaries and word lists) call them.
"""

from __future__ import annotations

import re
from functools import cache

_OPTIONAL = re.compile(r"(?<=\w)\((\w+)\)(?=\w)")  # "colo(u)red"
# "someone, something" as dictionaries abbreviate it: grammar, not text. In English, German, and the rest.
SOMEONE = re.compile(r"(?<!\w)(?:sth|sb|sg)(?!\w)\.?")
JEMAND = re.compile(r"(?<!\w)(?:etw|jd[mns]?)\.(?:/(?:etw|jd[mns]?)\.)*")
PLACEHOLDERS = frozenset({"ngn", "ngt", "nån", "qn", "qc", "qch", "qqn", "qqch"})

# Definite articles in the form that dictionaries write before a noun.
_ARTICLES = {
    "en": "the", "de": "der die das", "nl": "de het", "fr": "le la les", "es": "el la los las", "it": "il lo la i gli le",
    "pt": "o a os as", "gl": "o a os as", "ca": "el la els les", "hu": "a az", "el": "ο η το οι τα", "eo": "la",
}  # fmt: skip
_INDEFINITE = {
    "en": "a an", "de": "ein eine", "nl": "een", "fr": "un une", "es": "un una", "it": "un uno una", "pt": "um uma",
    "ca": "un una", "hu": "egy", "sv": "en ett", "da": "en et", "no": "en ei et",
}  # fmt: skip
_ELIDED = {"fr": "l'", "it": "l'", "ca": "l'"}
_INFINITIVES = {
    "en": "to", "de": "zu", "nl": "te", "sv": "att", "da": "at", "no": "å", "is": "að", "ro": "a", "lb": "ze",
}  # fmt: skip
# Gender, number and part of speech behind a word: "Hund m", "chien n.m.", "gente f pl", "Hund, m".
_TOKENS = "m|f|n|nt|v|mf|pl|sg|sing|masc|fem|neut|neutr|adj|adv|subst|vb|vt|vi|nm|nf|sm|sf|ż|ж|м|ср|мн"
_GRAMMAR = re.compile(
    rf"(?<=[^\W\d_])(?:,\s*|\s+)(?:s\.\s?)?(?:{_TOKENS})\.?(?:(?:[./,]\s*|\s+|(?<=\.))(?:{_TOKENS})\.?)*$"
)
# A text of nothing but words holds one of these words, or no rule below but that for articles applies.
MARKS = frozenset([*_TOKENS.split("|"), *_INFINITIVES.values(), *PLACEHOLDERS, "sth", "sb", "sg"])
_LAST = re.compile(r"\w+(?=\W*$)")


@cache
def base(language: str) -> str:
    """The language alone of a BCP 47 tag."""
    return language.split("-", 1)[0]


def spellings(written: str) -> list[str]:
    """The spellings in one as written, with and without optional letters.

    >>> spellings("colo(u)r"), spellings("color")
    (['colour', 'color'], ['color'])
    """
    return [_OPTIONAL.sub(r"\1", written), _OPTIONAL.sub("", written)] if _OPTIONAL.search(written) else [written]


def without_placeholders(text: str, language: str) -> str:
    """``text`` in ``language`` without what stands for its objects: "sth.", "etw.", "qch".

    >>> without_placeholders("eat sth.", "en"), without_placeholders("manger qch", "fr")
    ('eat', 'manger')
    """
    if base(language) == "en":
        return " ".join(SOMEONE.sub(" ", text).split())
    if base(language) == "de":
        return " ".join(JEMAND.sub(" ", text).split())
    words = text.split()
    return text if PLACEHOLDERS.isdisjoint(words) else " ".join(word for word in words if word not in PLACEHOLDERS)


def without_infinitive(text: str, language: str, other: str, other_language: str) -> str:
    """A verb without its infinitive mark: English "to" always, others where the ``other`` side has one, too.

    >>> without_infinitive("to chase", "en", "jaga", "sv"), without_infinitive("att jaga", "sv", "to chase", "en")
    ('chase', 'jaga')
    """
    mark, rest = _begins(text, _INFINITIVES.get(base(language), ""))
    if not mark or rest.count(" ") > 2 or rest.startswith(("and ", "or ")):
        return text
    return rest if mark == "to" or _begins(other, _INFINITIVES.get(base(other_language), ""))[0] else text


def without_article(text: str, language: str) -> tuple[str, str]:
    """The definite article that ``text`` begins with, in small letters, and the rest; "" and ``text`` without one.

    >>> without_article("das Sofa", "de"), without_article("l'homme", "fr"), without_article("The Who", "en")
    (('das', 'Sofa'), ("l'", 'homme'), ('', 'The Who'))
    """
    elided = _ELIDED.get(base(language), "")
    if elided and len(text) > 2 and text.replace("\u2019", "'").startswith(elided):
        return elided, text[len(elided) :]
    return _begins(text, _ARTICLES.get(base(language), ""))


def without_inverted_article(text: str, language: str) -> str:
    """``text`` without an article behind a comma; a title's goes to the front.

    >>> without_inverted_article("Lampe, die", "de"), without_inverted_article("Hague, The", "en")
    ('Lampe', 'The Hague')
    """
    rest, comma, last = text.rpartition(",")
    last, rest = last.strip(), rest.strip()
    articles = f"{_ARTICLES.get(base(language), '')} {_INDEFINITE.get(base(language), '')}".split()
    if not comma or not rest or "," in rest or last.casefold() not in articles:
        return text
    return rest if last.islower() else f"{last} {rest}"


def without_gender(text: str, other: str) -> str:
    """``text`` without the abbreviated gender, number or part of speech behind its last word.

    A letter that both sides end with belongs to the text ("size m", "Größe m"), but for the n of nouns and neuters.

    >>> without_gender("Hund m", "dog"), without_gender("size m", "Größe m"), without_gender("100 m", "100 m")
    ('Hund', 'size m', '100 m')
    """
    found = _GRAMMAR.search(text)
    if found is None:
        return text
    last, others = _LAST.search(text), _LAST.search(other)
    if last and others and last[0] == others[0] != "n":
        return text
    return text[: found.start()]


def _begins(text: str, marks: str) -> tuple[str, str]:
    first, _, rest = text.partition(" ")
    return (first, rest.strip()) if rest.strip() and first in marks.split() else ("", text)
