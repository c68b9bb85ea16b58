"""Reading FreeDict's TEI XML (``eng-deu.tei``), streamed: the same senses as the dictd files give.

What a translation's text means is ``senses.py``'s business; where the files come from is ``packages.py``'s. XML is taken as
a stranger's: no entities, nothing fetched, one entry in memory at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers import expat

from mmcs.errors import DataError
from mmcs.lexicons.dictd import MAX_DAMAGED, licence_name
from mmcs.lexicons.packages import TAGS
from mmcs.lexicons.senses import (
    NO_TRANSLATION,
    Sense,
    headword,
    is_acronym,
    part_of_speech,
    spellings,
    translations,
    unusable,
)
from mmcs.prepare.records import Tally

MAX_TEI_BYTES = 2**31
MAX_PROLOG_BYTES = 2**20
MAX_DEPTH = 100
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ROOTS = frozenset({"TEI", "TEI.2", "teiCorpus"})
# What stands beside the words, inside the elements that hold them.
_ASIDES = frozenset({"note", "usg", "gramGrp", "def", "lbl", "pron"})
_TRANSLATION = ("trans", "translation", "equivalent")
_WORD = re.compile(r"[^\W\d_ˈˌː]")
# One language under two tags.
_SAME = {"nb": "no", "nn": "no", "cmn": "zh", "iw": "he"}


class TeiDictionary:
    """A dictionary as TEI XML; to be read once.

    Attributes:
        name: title and version, as the header gives them (known, like the licence, once senses are read).
        licence: SPDX name where its text is a known one, else the beginning of that text.
        availability: the whole licence paragraph.
        damaged: entries that could not be used, by cause.
    """

    def __init__(self, path: Path) -> None:
        """Looks at the beginning of ``path``.

        Raises:
            DataError: too large, no XML, no TEI, or with entities of its own.
        """
        if path.stat().st_size > MAX_TEI_BYTES:
            raise DataError(f"{path} is larger than {MAX_TEI_BYTES >> 30} GiB; that is no TEI dictionary.")
        _check_prolog(path)
        self.path, self.name = path, path.stem
        self.availability, self.licence = "", "not stated"
        self.damaged = Tally()

    def senses(self, language: str, left_out: Tally, source_language: str) -> Iterator[Sense]:
        """The senses of all entries with translations into ``language`` (BCP 47); ``left_out`` counts what has none.

        Raises:
            DataError: the XML is damaged, holds no entry, or more than a fifth of its entries cannot be used.
        """
        number = 0
        for number, entry in enumerate(self._entries(), 1):
            words = _headwords(entry)
            if words:
                yield from _senses(entry, words, language, source_language, left_out)
            else:
                self.damaged.add("entry without a headword", f"entry {number}: {_text(entry)[:60]}")
        if not number:
            raise DataError(
                f"{self.path} holds no <entry>; is it the dictionary of a release, not a part of its sources?"
            )
        if self.damaged.total > MAX_DAMAGED * number:
            example = next(iter(self.damaged.examples.values()))[0]
            raise DataError(
                f"{self.path}: {self.damaged.total:,} of {number:,} entries have no headword (first: {example}); "
                "is it a TEI dictionary with <form><orth>?"
            )

    def _entries(self) -> Iterator[Element]:
        """Each entry, whole; whatever has been read is let go."""
        open_elements: list[Element] = []
        keep = 0  # elements of an entry or of the header, which are needed whole
        try:
            with self.path.open("rb") as file:
                for event, element in ElementTree.iterparse(file, ("start", "end")):
                    name = _local(element)
                    whole = name in ("entry", "teiHeader")
                    if event == "start":
                        open_elements.append(element)
                        if len(open_elements) > MAX_DEPTH:
                            raise DataError(f"{self.path} nests its elements deeper than {MAX_DEPTH}; it is not used.")
                        keep += whole
                        continue
                    open_elements.pop()
                    keep -= whole
                    if keep:
                        continue
                    if name == "entry":
                        yield element
                    elif name == "teiHeader":
                        self._read_header(element)
                    if open_elements:
                        open_elements[-1].remove(element)
        except ElementTree.ParseError as error:
            raise _damaged(self.path, error) from None

    def _read_header(self, header: Element) -> None:
        title, edition = (_text(_first(header, name)) for name in ("title", "edition"))
        self.name = " ver. ".join(part for part in (title, edition) if part) or self.name
        availability = _first(header, "availability")
        if availability is not None:
            text = _text(availability)
            targets = [target for part in availability.iter() if (target := part.get("target", "")) not in text]
            self.availability = " ".join([text, *targets]).strip()
            self.licence = licence_name(self.availability)


def _senses(entry: Element, words: list[str], language: str, source_language: str, left_out: Tally) -> Iterator[Sense]:
    phrases: dict[str, tuple[bool, str]] = {}
    for word in words:
        phrase, pos = headword(word, "", source_language)
        if cause := unusable(phrase):
            left_out.add(cause, word)
        else:
            phrases[phrase] = (is_acronym(word), pos)
    pron = _first(entry, "pron")
    sounds = len(_WORD.findall(_text(pron))) if source_language == "en" and len(words) == 1 and pron is not None else 0
    found = False
    of_form = next((_grammar(child) for child in entry if _local(child) == "form"), "")
    for number, (quotes, support, pos) in enumerate(_sense_elements(entry, of_form)):
        texts: dict[str, None] = {}
        for spoken, quote in quotes:
            if spoken and _primary(spoken) != _primary(language):
                left_out.add("translation into another language", f"{words[0]} - {quote} ({spoken})")
            else:
                texts |= dict.fromkeys(translations(quote, language))
        if texts:
            found = True
            for phrase, (acronym, of_word) in phrases.items():
                yield Sense(phrase, acronym, pos or of_word, sounds, number, tuple(texts), support)
    if phrases and not found:
        left_out.add(NO_TRANSLATION, words[0])


def _sense_elements(node: Element, pos: str) -> Iterator[tuple[list[tuple[str, str]], int, str]]:
    """Per element with translations: ``(language or "", text)`` of each, its examples and references, its part of speech.

    What stands in an entry outside any sense is one, too. Related entries (``re``) have headwords of their own.
    """
    quotes: list[tuple[str, str]] = []
    nested: list[Element] = []
    support, of_target = 0, ""
    for child in node:
        name = _local(child)
        if name == "gramGrp":
            pos = _grammar(child) or pos
        elif (name == "cit" and child.get("type") in _TRANSLATION) or name == "trans":
            spoken = child.get(_LANG, "")
            inside = [part for part in child.iter() if _local(part) in ("quote", "tr")]
            quotes += [(part.get(_LANG, spoken), text) for part in inside if (text := _text(part))]
            of_target = of_target or _grammar(child, gender=True)
        elif name in ("cit", "eg", "xr", "ref"):
            support += 1
        elif name in ("sense", "hom"):
            nested.append(child)
    if quotes:
        yield quotes, support, pos or of_target
    for child in nested:
        yield from _sense_elements(child, pos)


def _headwords(entry: Element) -> list[str]:
    """What the entry is looked up under: each spelling, but no inflected forms."""
    forms = [child for child in entry if _local(child) == "form"]
    found: dict[str, None] = {}
    while forms:
        form = forms.pop(0)
        if form.get("type", "").startswith("infl"):
            continue
        for child in form:
            if _local(child) == "form":
                forms.append(child)
            elif _local(child) == "orth":
                found |= dict.fromkeys(word for word in spellings(_text(child)) if word)
    return list(found)


def _grammar(node: Element, *, gender: bool = False) -> str:
    """The part of speech that ``node`` names; with ``gender``, a gender tells a noun (adjectives have one in Latin)."""
    for name in ("pos", "gen") if gender else ("pos",):
        parts = [part for part in node.iter() if _local(part) == name or part.get("type") == name]
        labels = [label for part in parts if (label := _text(part) or part.get("value", ""))]
        if labels:
            return part_of_speech(f"<{', '.join(labels)}>")
    return ""


def _first(node: Element, name: str) -> Element | None:
    return next((part for part in node.iter() if _local(part) == name), None)


def _text(node: Element | None) -> str:
    """The text of an element, without what stands beside it in notes and labels, white space collapsed."""
    if node is None:
        return ""
    parts = [node.text or ""]
    for child in node:
        parts += [_text(child) if _local(child) not in _ASIDES else " ", child.tail or ""]
    return " ".join("".join(parts).split())


def _local(element: Element) -> str:
    """The name without its namespace; "" for comments and instructions."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _primary(tag: str) -> str:
    primary = tag.replace("_", "-").split("-")[0].casefold()
    primary = TAGS.get(primary, primary)
    return _SAME.get(primary, primary)


def _check_prolog(path: Path) -> None:
    """Reads up to the first element: entities could grow without bound, and no dictionary needs them.

    Raises:
        DataError: no XML, no TEI, or with entities.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    root: list[str] = []

    def entity(name: str, is_parameter: int, *_: object) -> None:
        if not is_parameter:  # those stand in the declarations alone, and old TEI files set two
            raise DataError(f"{path} declares an entity of its own ({name}); such XML is not read.")

    parser.EntityDeclHandler = entity
    parser.StartElementHandler = lambda name, _: root.append(name.rpartition("}")[2])
    with path.open("rb") as file:
        try:
            _feed(parser, file, root)
        except expat.ExpatError as error:
            raise _damaged(path, error) from None
    if not root:
        raise DataError(f"{path} has no element in its first {MAX_PROLOG_BYTES >> 20} MiB; it is no TEI dictionary.")
    if root[0] not in _ROOTS:
        raise DataError(f"{path} is XML, but no TEI dictionary (its root is <{root[0]}>).")


def _feed(parser: expat.XMLParserType, file: BinaryIO, root: list[str]) -> None:
    read = 0
    while not root and read < MAX_PROLOG_BYTES:
        chunk = file.read(4096)
        read += len(chunk)
        parser.Parse(chunk, not chunk)
        if not chunk:
            return


def _damaged(path: Path, error: expat.ExpatError | ElementTree.ParseError) -> DataError:
    line, column = (error.lineno, error.offset) if isinstance(error, expat.ExpatError) else error.position
    return DataError(
        f"{path} is damaged or no XML (line {line}, column {column + 1}: {expat.ErrorString(error.code)}); fetch it again."
    )
