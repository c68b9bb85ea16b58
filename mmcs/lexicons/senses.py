"""From the text of a FreeDict entry to its senses: headword, part of speech and translations, nothing else.

FreeDict renders all its dictionaries alike: a line with headword, /pronunciation/ and <part of speech>; then one line of
translations per sense, numbered where there are several; then definitions, "examples", synonyms, notes and references,
which are left out. Labels, grammar and explanations stand in brackets inside the lines. ``ranking.py`` weighs the senses.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mmcs.codeswitch.lexicon import normalise
from mmcs.lexicons.dictd import Entry
from mmcs.lexicons.orthography import repair

MAX_SOURCE_TOKENS = 4
MAX_TARGET_TOKENS = 4  # longer ones explain, they do not translate

_SENSE = re.compile(r"\s*(?:[IVX]+\.\s+)?(?:<(?P<pos>[^>]*)>\s*)?(?:(?P<number>\d+)\.(?:\s+|$))?(?P<text>.*)")
_NOT_A_SENSE = re.compile(r'\s*(?:"|- |see: |Synonyms?: |Note: |$)')
_PRONUNCIATION = re.compile(r"/[^/]*/+")
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|<[^<>]*>|/[^/\s]*/(?=\s|$)|\"[^\"]*\"")
_OPENING = re.compile(r"[(\[{</\"]")
# Sub-entries (idioms with the headword) follow the translations after a full stop.
_FULL_STOP = re.compile(r"(?<=[^\W\d_]{3})\.(?=\s|$).*", re.DOTALL)
_SEPARATOR = re.compile(r"[,;،؛、|]")
_EXPLANATION = re.compile(r"(?<=\w):\s.*")
_ABBREVIATION = re.compile(r"(?:\w{1,3}\.)+\w{0,2}")
# "someone, something" as dictionaries abbreviate it: grammar, not text.
_PLACEHOLDER = re.compile(
    r"(?<!\w)(?:etw\.|jd[mns]?\.|jds\.|jdn\./etw\.|v(?:ki|mi)\w*|ngn|ngt|nån|qn|qc|qch|qqn|qqch|algo/alguien|sth\.?|sb\.?|sg\.?)(?!\w)"
)
_SHARED_SENSE = re.compile(r"\s+\d+\.\s*$")
_UNUSABLE = re.compile(r"[\[\]{}<>()|=\\#*_?\"“”„…:!/0-9]|\.\S|--|^-|-$|^‐|‐$")
_GENDER = frozenset({"fem", "masc", "neut", "f", "m", "nt", "n", "pl", "sg", "pn"})


class Sense(NamedTuple):
    """One line of translations.

    Attributes:
        phrase: the headword, normalised.
        acronym: whether it is written in capitals.
        pos: "n", "v", "a" (adjective), "x" (any other) or "" where the entry does not say.
        pronunciation: its length in letters, 0 where there is none.
        number: place among the senses of the entry, from 0.
        texts: translations in the entry's order, cleaned.
        support: examples, references and further meanings that hang on the sense: a sign of how common it is.
    """

    phrase: str
    acronym: bool
    pos: str
    pronunciation: int
    number: int
    texts: tuple[str, ...]
    support: int


def senses(entry: Entry, language: str) -> list[Sense]:
    """The senses of ``entry`` whose translations are words of ``language`` (BCP 47)."""
    if entry.key.count(" ") >= 2 * MAX_SOURCE_TOKENS:
        return []
    head, _, body = entry.text.lstrip().partition("\n")
    pos = part_of_speech(head)
    pronunciation = _PRONUNCIATION.search(head)
    length = sum(char.isalpha() for char in pronunciation.group()) if pronunciation else 0
    phrases: dict[str, bool] = {}
    for word in _headword(entry.key, head):
        if word.startswith("to ") and pos in ("", "v"):
            word, pos = word[3:], "v"
        phrases[normalise(_PLACEHOLDER.sub(" ", word).strip(" .!?"))] = len(word) > 1 and word.isupper()
    phrases.pop("", None)
    if not any(phrase.count(" ") < MAX_SOURCE_TOKENS for phrase in phrases):
        return []
    lines = ((line, support, label or pos or part_of_speech(line)) for line, support, label in _sense_lines(body))
    return [
        Sense(phrase, acronym, line_pos, length, number, texts, support)
        for number, (line, support, line_pos) in enumerate(lines)
        if (texts := translations(line, language))
        for phrase, acronym in phrases.items()
        if phrase.count(" ") < MAX_SOURCE_TOKENS
    ]


def translations(line: str, language: str) -> tuple[str, ...]:
    """The translations in one line of an entry, without labels, grammar and explanations, each once."""
    text, before = line, ""
    while text != before and _OPENING.search(text):
        before, text = text, _BRACKETS.sub(" ", text)
    text = _EXPLANATION.sub("", _FULL_STOP.sub("", _PLACEHOLDER.sub(" ", text)))
    parts: list[str] = []
    for part in _SEPARATOR.split(text):
        parts += part.split("/") if " " not in part.strip() else [re.sub(r"(\S+?)/\S+", r"\1", part)]
    cleaned = (_clean(part, language) for part in parts)
    return tuple(dict.fromkeys(part for part in cleaned if part))


def part_of_speech(line: str) -> str:
    """The part of speech that the ``<labels>`` of a line name, in one letter; "" where they name none."""
    if "<" not in line:
        return ""
    labels = {label for group in re.findall(r"<([^<>]*)>", line) for label in re.split(r"[,/\s]+", group.casefold())}
    if labels & _GENDER:
        return "n"
    for label in sorted(labels):
        if re.match(r"v(?!ar)|phrv|aux", label):
            return "v"
        if label.startswith("adj"):
            return "a"
    return "x" if labels - {""} else ""


def _headword(key: str, head: str) -> list[str]:
    """The headword, or several, as written; the index's key has lost hyphens, apostrophes and capitals."""
    plain = re.sub(r"<[^<>]*>", " ", _PRONUNCIATION.sub(" ", head))
    if plain.strip().casefold() == key:
        return [plain.strip()]
    wanted = _letters(key)
    variants = [" ".join(variant.split()) for variant in re.split(r"[,;()]", plain)]
    if _letters(plain) == wanted:
        return variants
    return next(([variant] for variant in variants if _letters(variant) == wanted), [key])


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())


def _sense_lines(body: str) -> list[tuple[str, int, str]]:
    """``(line, support, part of speech)`` of each line of translations: the first line, and every numbered one."""
    found: list[tuple[str, int, str]] = []
    pos = ""
    for line in body.splitlines():
        match = _SENSE.fullmatch(line)
        if match is None or _NOT_A_SENSE.match(line):
            if found:
                found[-1] = (found[-1][0], found[-1][1] + line.count("{") + line.count('"') // 2, found[-1][2])
            continue
        pos = part_of_speech(f"<{match['pos']}>") if match["pos"] else pos
        if found and match["number"] and not match["text"]:  # a further meaning with the translations above
            found[-1] = (found[-1][0], found[-1][1] + 1, found[-1][2])
        elif match["text"] and (match["number"] or not found):
            found.append((match["text"], 0, pos))
    return found


def _clean(part: str, language: str) -> str:
    text = _SHARED_SENSE.sub("", part.replace("~", " "))
    text = " ".join(text.split()).strip(" .-–—'’‘´`")
    if not text or _UNUSABLE.search(text) or ("." in part and _ABBREVIATION.fullmatch(part.strip())):
        return ""
    text = repair(text, language)
    return text if len(text.split(" ")) <= MAX_TARGET_TOKENS else ""
