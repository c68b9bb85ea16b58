"""From the text of a FreeDict entry to its senses: headword, part of speech and translations, nothing else.

FreeDict renders all its dictionaries alike: a line with headword, /pronunciation/ and <part of speech>; then one line of
translations per sense, numbered where there are several; then definitions, "examples", synonyms, notes and references,
which are left out. Labels, grammar and explanations stand in brackets inside the lines. ``ranking.py`` weighs the senses.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mmcs.codeswitch.lexicon import normalise
from mmcs.lexicons import grammar
from mmcs.lexicons.dictd import Entry
from mmcs.lexicons.orthography import repair
from mmcs.prepare.records import Tally

MAX_SOURCE_TOKENS = 4
_TOO_LONG = f"headword of more than {MAX_SOURCE_TOKENS} words"
MAX_TARGET_TOKENS = 4  # longer ones explain, they do not translate
NO_TRANSLATION = f"no translation of at most {MAX_TARGET_TOKENS} words"

_SENSE = re.compile(r"\s*(?:[IVX]+\.\s+)?(?:<(?P<pos>[^>]*)>\s*)?(?:(?P<number>\d+)\.(?:\s+|$))?(?P<text>.*)")
_NOT_A_SENSE = re.compile(r'\s*(?:"|- |see: |Synonyms?: |Note: |$)')
_PRONUNCIATION = re.compile(r"/+[^/]+/+")
_SOUND = re.compile(r"[^\W\d_ˈˌː]")
# Ergane's dictionaries keep the first word of a headword and the pronunciation of all of it: no English word sounds so long.
_SOUNDS_PER_LETTER = 1.8
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|<[^<>]*>|/[^/\s]*/(?=\s|$)|\"[^\"]*\"")
_LABEL = re.compile(r"<([^<>]*)>")
_VARIANT = re.compile(r"[,;()]")
_OPENING = re.compile(r"[(\[{</\"]")
# "(zool.) Apis mellifera" after the name that people use.
_SPECIES = re.compile(r"\((?:zool|bot)\.\)\s*[A-Z][a-z]+(?: [a-z]+)?")
# Sub-entries (idioms with the headword) follow the translations after a full stop.
_FULL_STOP = re.compile(r"(?<=[^\W\d_]{2})\.(?=\s|$).*", re.DOTALL)
_CHOICE = re.compile(r"(\S+?)/\S+")
_SEPARATOR = re.compile(r"[,;،؛、|]")
_EXPLANATION = re.compile(r"(?<=\w):\s.*")
_ABBREVIATION = re.compile(r"(?:\w{1,3}\.)+\w{0,2}")
_HUNGARIAN_PLACEHOLDERS = ("vki", "vmi")  # with any case ending
_SHARED_SENSE = re.compile(r"\s+\d+\.\s*$")
_UNUSABLE = re.compile(r"-\s|[\[\]{}<>()|=+\\#*_?\"“”„…:!/0-9]|\.\S|--|^-|-$|^‐|‐$")
_NOUN = frozenset({"fem", "masc", "neut", "f", "m", "nt", "n", "pl", "sg", "pn", "noun", "subst"})
_PARTS_OF_SPEECH = (  # how labels begin that are none of nouns, verbs and adjectives
    ("adv", "adv"), ("prep", "prep"), ("postp", "prep"), ("pron", "pron"), ("num", "num"), ("conj", "conj"), ("int", "int"),
    ("art", "det"), ("det", "det"), ("ptcl", "ptcl"), ("part", "ptcl"), ("abbr", "abbr"), ("phrase", "phrase"),
)  # fmt: skip


class Sense(NamedTuple):
    """One line of translations.

    Attributes:
        phrase: the headword, normalised.
        acronym: whether it is written in capitals.
        pos: "n", "v", "adj", "adv", "prep", "pron", "num", "conj", "int", "det", "ptcl", "abbr", "phrase", "x" (any other) or
            "" where the entry does not say.
        sounds: length of its pronunciation, 0 where there is none, or where it tells nothing (languages other than English).
        number: place among the senses of the entry, from 0.
        texts: translations in the entry's order, cleaned.
        support: examples, references and further meanings that hang on the sense: a sign of how common it is.
    """

    phrase: str
    acronym: bool
    pos: str
    sounds: int
    number: int
    texts: tuple[str, ...]
    support: int


def senses(entry: Entry, language: str, left_out: Tally, source_language: str = "en") -> list[Sense]:
    """The senses of ``entry`` whose translations are words of ``language``; ``left_out`` counts what has none.

    Args:
        entry: of a dictionary from ``source_language`` to ``language`` (BCP 47).
    """
    if entry.key.count(" ") >= 2 * MAX_SOURCE_TOKENS:
        left_out.add(_TOO_LONG, entry.key)
        return []
    head, _, body = entry.text.lstrip().partition("\n")
    pos, words = part_of_speech(head), _headwords(entry.key, head)
    sounds = _sounds(head) if len(words) == 1 and source_language == "en" else 0
    phrases: dict[str, bool] = {}
    for word in words:
        cut = word.isalpha() and len(word) > 2 and sounds > _SOUNDS_PER_LETTER * len(word)
        phrase, pos = headword(word, pos, source_language)
        if cause := unusable(phrase):
            left_out.add(cause, entry.key)
        elif cut:
            left_out.add("headword cut short (the pronunciation is of a longer one)", entry.key)
        else:
            phrases[phrase] = is_acronym(word)
    found = [
        Sense(phrase, acronym, label or pos or part_of_speech(line), sounds, number, texts, support)
        for number, (line, support, label) in enumerate(_sense_lines(body) if phrases else ())
        if (texts := translations(line, language))
        for phrase, acronym in phrases.items()
    ]
    if phrases and not found:
        left_out.add(NO_TRANSLATION, entry.key)
    return found


def spellings(written: str) -> list[str]:
    """The headwords in one as written: with and without optional letters, colo(u)r, and without remarks in brackets."""
    found = grammar.spellings(written)
    return found if len(found) > 1 else [" ".join(_BRACKETS.sub(" ", written).split())]


def headword(word: str, pos: str, language: str) -> tuple[str, str]:
    """The phrase, normalised and without grammar, and its part of speech, of a headword in ``language`` (BCP 47)."""
    if language == "en" and word.startswith("to ") and pos in ("", "v"):
        word, pos = word[3:], "v"
    word = grammar.without_placeholders(word, language)
    return normalise(word.strip(" .!?").replace("\u2010", "-"), language), pos


def unusable(phrase: str) -> str:
    """Why a headword is left out; "" where it is not."""
    if "…" in phrase:
        return "half of a word or phrase (…)"
    return _TOO_LONG if not phrase or phrase.count(" ") >= MAX_SOURCE_TOKENS else ""


def is_acronym(word: str) -> bool:
    """Whether a headword is written in capitals."""
    return len(word) > 1 and word.isupper()


def translations(line: str, language: str) -> tuple[str, ...]:
    """The translations in one line of an entry, without labels, grammar and explanations, each once."""
    text, before = grammar.spellings(_SPECIES.sub(" ", line))[-1], ""
    while text != before and _OPENING.search(text):
        before, text = text, _BRACKETS.sub(" ", text)
    if "." in text:
        if language == "en":  # before the full stop of "sth." ends the line
            text = grammar.SOMEONE.sub(" ", text)
        text = _FULL_STOP.sub("", grammar.JEMAND.sub(" ", text))
    if ":" in text:
        text = _EXPLANATION.sub("", text)
    parts: list[str] = []
    for part in _SEPARATOR.split(text):
        if "/" not in part:
            parts.append(part)
        else:  # "one/other", or a phrase with a choice of words
            parts += [_CHOICE.sub(r"\1", part)] if " " in part.strip() else part.split("/")
    cleaned = (_clean(part, language) for part in parts)
    return tuple(dict.fromkeys(part for part in cleaned if part))


def part_of_speech(line: str) -> str:
    """The part of speech that the ``<labels>`` of a line name, as ``Sense`` spells it; "" where they name none."""
    if "<" not in line:
        return ""
    labels = {label for group in _LABEL.findall(line) for label in re.split(r"[,/\s]+", group.casefold())}
    if labels & _NOUN:
        return "n"
    ordered = sorted(labels - {""})
    for label in ordered:
        if re.match(r"v(?!ar)|phrv|aux", label):
            return "v"
        if label.startswith("adj"):
            return "adj"
    named = (name for label in ordered for beginning, name in _PARTS_OF_SPEECH if label.startswith(beginning))
    return next(named, "x" if ordered else "")


def _headwords(key: str, head: str) -> list[str]:
    """The headword as written (the index's key has lost hyphens, apostrophes and capitals), or its several forms."""
    plain = " ".join(_LABEL.sub(" ", _PRONUNCIATION.sub(" ", head)).split())
    if plain.casefold() == key:
        return [plain]
    wanted = _letters(key)
    if len(found := grammar.spellings(plain)) > 1:
        return found if wanted in map(_letters, found) else [key]
    if _letters(plain) == wanted:
        forms = [form.strip() for form in plain.split(",") if form.strip()]
        if len(forms) > 1 and _are_forms(forms):
            return forms
        return [
            " ".join(_BRACKETS.sub(" ", plain).replace(",", " ").split())
        ]  # "forgive sb. (for)": without its option
    # One of several: "clear air turbulence (CAT)" stands in the index under either.
    return next(([part.strip()] for part in _VARIANT.split(plain) if _letters(part) == wanted), [key])


def _are_forms(words: list[str]) -> bool:
    """Whether words beside each other are forms of one (mouse, mice) and no phrase with commas (game, set, match)."""
    bare = [word.removeprefix("to ").casefold() for word in words]
    return len({word[:1] for word in bare}) == 1 and not any(" " in word for word in bare)


def _sounds(head: str) -> int:
    """Length of the first pronunciation; 0 without one, or where another word's may stand first."""
    pronunciation = _PRONUNCIATION.search(head)
    return len(_SOUND.findall(pronunciation.group())) if pronunciation and "(" not in head else 0


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())


def _sense_lines(body: str) -> list[tuple[str, int, str]]:
    """``(line, support, part of speech)`` of each line of translations: the first line, and every numbered one."""
    found: list[tuple[str, int, str]] = []
    pos = ""
    for line in body.splitlines():
        if not line:
            continue
        match = None if _NOT_A_SENSE.match(line) else _SENSE.fullmatch(line)
        if match is None:
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
    words = _SHARED_SENSE.sub("", part.replace("~", " ")).split()
    words = [
        word for word in words if word not in grammar.PLACEHOLDERS and not word.startswith(_HUNGARIAN_PLACEHOLDERS)
    ]
    if language == "en":
        words = grammar.SOMEONE.sub(" ", " ".join(words)).split()
        if words[:1] == ["to"] and words[1:] and words[1:2] != ["and"]:  # the infinitive; "to and fro" is none
            words = words[1:]
    text = " ".join(words).strip(" .!?-–—'’‘´`")
    if not text or _UNUSABLE.search(text) or ("." in part and _ABBREVIATION.fullmatch(part.strip())):
        return ""
    return repair(text, language) if len(words) <= MAX_TARGET_TOKENS else ""
