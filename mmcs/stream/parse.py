"""The second stage: the bytes of ``.txt`` and ``.json`` → captions per language and the sample's group."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mmcs.common.caption_text import clean_caption
from mmcs.common.language_tags import find_language, tag_of
from mmcs.stream.drops import NO_LANGUAGE, BadSample

#: A field such as "caption_de" or "captions_pt_BR". Three letters are as often a word ("raw", "alt") as a language.
_FIELD = re.compile(r"captions?[_-]([A-Za-z]{2}(?:[_-](?:[A-Za-z]{2,4}|\d{3})){0,2})")
#: Kinds of captions by name, though each is the code of some language, too.
_KINDS = re.compile(
    "a(?:ll|lt|ny|ug)|cap|de[fv]|l(?:en|lm|ow)|m(?:ax|i[dnx])|new|o(?:ld|ne|ri)|raw|s(?:rc|ub|yn)|t(?:ag|op|wo|xt)|url|val",
    re.I,
)
#: A cell of a column that is named like a language (id, no, is): a number, a code, an address, a truth value.
_NO_TEXT = re.compile(r"\s*(?:[\W\d_]*|(?=[!-~]*\d)[!-~]+|\w+://\S+|true|false|yes|no|none|null|nan)\s*", re.IGNORECASE)
_MOST_KEPT = 1000  # different sets of keys; shards use a handful


class _Plan(NamedTuple):
    """Which captions of a ``.json`` are read: keys of ``captions`` and fields, each with the languages that it serves, and the
    keys that are no language.
    """

    captions: list[tuple[str, list[str]]]
    fields: list[tuple[str, list[str]]]
    noted: tuple[str, ...]


class ParseSample:
    """Sample stage: "files" → "caption", "captions" and "group".

    "captions" holds every non-empty caption by language (``language_tag``), cleaned (``clean_caption``); those of the
    ``.txt``'s language are the ``.txt`` first, then those of the ``.json``. "caption" is the first of them. The ``.json`` has
    further captions under ``captions`` (an object by language, or a text or list in the ``.txt``'s language) and in fields
    such as ``caption_de``. Captions under several tags of one language are joined, each once. Without a caption in
    ``.txt`` the ``.json``'s "caption" (img2dataset's copy of it) is taken.

    Where a source has a "caption_field", that alone gives the captions of the ``.txt``'s language: a key of the ``.json``
    (a string or a list of strings), a path of keys (``captions.blip2``), or with a leading dot a file of the sample
    (``.cap``). With "caption_lines" each line of such a text is a caption of its own.

    "group" is the ``.json``'s (a string or a number, of a list the first), else the identity. Of a key that a ``.json`` has
    twice the last counts, as in Python; null, and the NaN that tables leave for an empty cell, mean that there is none.

    A key of ``captions`` that is no language is left out and listed in "noted".

    Args:
        languages: those to keep; None: all. That of the ``.txt`` is always kept. A regional variant serves its language
            where a sample has no captions in the language itself and the variant is not wanted itself.
        text_language: that of the ``.txt``: English, by the contract of shards.
        longest_caption: characters. No text tower reads so many, and what is done to captions before takes its time.

    Raises:
        BadSample: "bad utf-8" (half a surrogate pair in the ``.json``, too), "bad json" (of the wrong form, too),
            "caption too long", "empty caption" (there is one, it is blank) or "no caption" (in that language).
    """

    def __init__(
        self, languages: Collection[str] | None = None, *, text_language: str = "en", longest_caption: int = 10_000
    ) -> None:
        self.text_language = tag_of(text_language) or text_language
        self.languages: dict[str, str] | None = None  # as the caller spells them → canonical
        if languages is not None:
            self.languages = {name: tag_of(name) or name for name in (self.text_language, *languages)}
        #: Names under which the caller asks for the captions of the ``.txt``.
        self._own_names = [name for name, tag in (self.languages or {}).items() if tag == self.text_language]
        self.longest_caption = longest_caption
        self._plans: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], _Plan] = {}

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        files, field = sample["files"], sample.pop("caption_field", None)
        meta = files.pop("json", None)
        record = {} if meta is None else _object(_json(_text(meta, "json")), "the .json")
        captions, noted = self._by_language(record)
        own, blank = self._own(files, record, field, sample.pop("caption_lines", False))
        own = list(dict.fromkeys(own))
        further = captions.get(self.text_language)
        if field is None and further is not None:
            # A copy of the .txt among the further captions is no further one; what people wrote twice counts twice.
            own += [text for text in further if text not in own]
            blank = True
        if not own:
            raise BadSample("empty caption") if blank else BadSample("no caption", _others(files, record, noted))
        sample["caption"] = own[0]
        captions |= dict.fromkeys((self.text_language, *self._own_names), own)
        sample["captions"] = {self.text_language: own} | {name: texts for name, texts in captions.items() if texts}
        sample["group"] = _group(record.get("group")) or sample["identity"]
        if noted:
            sample["noted"] = [(NO_LANGUAGE, f"captions.{key}") for key in noted]
        return sample

    def _by_language(self, record: dict[str, Any]) -> tuple[dict[str, list[str]], Sequence[str]]:
        """The further captions by language, and the keys of ``captions`` that are no language."""
        given = record.get("captions") or None
        captions: dict[str, list[str]] = {}
        if isinstance(given, str | list):
            captions[self.text_language] = self._captions(given, "captions")
            given = None
        by_key = {} if _is_missing(given) else _object(given, "captions")
        fields = tuple(_fields(record))
        plan = self._plans.get((tuple(by_key), fields)) or self._plan(tuple(by_key), fields)
        for key, languages in plan.captions:
            self._take(captions, languages, by_key[key], f"captions.{key}")
        for key, languages in plan.fields:
            self._take(captions, languages, record[key], key)
        return captions, plan.noted

    def _take(self, captions: dict[str, list[str]], languages: Sequence[str], value: Any, what: str) -> None:
        found = self._captions(value, what)
        for language in languages:
            before = captions.get(language)
            captions[language] = [*before, *(text for text in found if text not in before)] if before else found

    def _plan(self, keys: tuple[str, ...], fields: tuple[tuple[str, str], ...]) -> _Plan:
        """What is read of a ``.json`` with these keys of ``captions`` and these fields; kept, as shards have few different."""
        tags = {key: None if _KINDS.fullmatch(key) else tag_of(_sound(key, "a language")) for key in keys}
        noted = tuple(key for key, tag in tags.items() if tag is None)
        known = [(key, tag) for key, tag in tags.items() if tag is not None]
        present = tuple(dict.fromkeys(tag for _, tag in (*known, *fields)))
        served = _served(self.languages, present) if self.languages is not None else {tag: [tag] for tag in present}
        if len(self._plans) >= _MOST_KEPT:
            self._plans.clear()
        by_key, by_field = ([(key, served[tag]) for key, tag in of if tag in served] for of in (known, fields))
        plan = _Plan(by_key, by_field, noted)
        self._plans[keys, fields] = plan
        return plan

    def _own(
        self, files: dict[str, bytes], record: dict[str, Any], field: str | None, lines: bool
    ) -> tuple[list[str], bool]:
        """The captions of the ``.txt`` or of what is read in its place, and whether there is anything, blank or not."""
        text = files.pop("txt", None)
        if field is not None and field.startswith("."):
            text = text if field == ".txt" else files.pop(field[1:].lower(), None)
        if field is None or field.startswith("."):
            own = [] if text is None else self._captions(_text(text, "txt" if field is None else field[1:]), "", lines)
            if own or field is not None:
                return own, text is not None
        value, found = _at(record, "caption" if field is None else field)
        own = self._captions(value, field or "caption", lines)
        return own, found or (field is None and text is not None)

    def _captions(self, value: Any, what: str, lines: bool = False) -> list[str]:
        """The non-empty captions of a string or a list of strings."""
        captions = []
        for text in value if isinstance(value, list) else [value]:
            if _is_missing(text):
                continue
            if not isinstance(text, str):
                raise BadSample("bad json", f"{what} holds {type(text).__name__}, not a text")
            for line in re.split(r"\r\n?|\n", text) if lines else [text]:
                line = clean_caption(_sound(line, what))
                if len(line) > self.longest_caption:
                    raise BadSample("caption too long", f"{len(line):,} characters, more than {self.longest_caption:,}")
                if line:
                    captions.append(line)
        return captions


def _served(wanted: Mapping[str, str], tags: tuple[str, ...]) -> dict[str, list[str]]:
    """The wanted languages that each tag of a sample serves.

    Args:
        wanted: the caller's spelling → the canonical one.
        tags: canonical.

    >>> _served({"de": "de", "PT": "pt"}, ("de-AT", "pt", "pt-BR"))
    {'de-AT': ['de'], 'pt': ['PT']}
    """
    served: dict[str, list[str]] = {}
    free = [tag for tag in tags if tag not in wanted.values()]
    for name, language in wanted.items():
        if language in tags:
            found = [language]
        else:
            one = find_language(language, free)
            found = [one] if one is not None else [tag for tag in free if find_language(language, (tag,))]
        for tag in found:
            served.setdefault(tag, []).append(name)
    return served


def _fields(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys such as ``caption_de`` that hold texts, with their languages."""
    for key, value in record.items():
        found = _FIELD.fullmatch(key) if key.startswith("caption") else None
        if found is None or not isinstance(value, str | list):
            continue
        texts = [text for text in (value if isinstance(value, list) else [value]) if not _is_missing(text)]
        language = tag_of(found[1])
        if language is not None and all(
            isinstance(text, str) and not _NO_TEXT.fullmatch(text[:1000]) for text in texts
        ):
            yield key, language


def _at(record: dict[str, Any], field: str) -> tuple[Any, bool]:
    """What is under a key, else under a path of keys with dots between them, and whether there is anything."""
    if field in record:
        return record[field], True
    value: Any = record
    for key in field.split("."):
        if not isinstance(value, dict) or key not in value:
            return None, False
        value = value[key]
    return value, True


def _others(files: dict[str, bytes], record: dict[str, Any], noted: Sequence[str]) -> str:
    """Where a sample without a caption has texts, else its files."""
    texts = [key for key, value in record.items() if isinstance(value, str) and " " in value.strip() and key != "group"]
    texts += [f"captions.{key}" for key in noted]
    if texts:
        return f"the .json has texts in {', '.join(texts[:5])}"
    return f"its files are {', '.join(f'.{name}' for name in getattr(files, 'names', files)) or 'none'}"


def _text(content: bytes, extension: str) -> str:
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode()  # in C, as "utf-8-sig" is not
    except UnicodeDecodeError as error:
        raise BadSample("bad utf-8", f".{extension} at byte {error.start}") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits is a ValueError
        raise BadSample("bad json", str(error)) from None


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadSample("bad json", f"{what} is {type(value).__name__}, where an object is wanted")
    return value


def _group(value: Any) -> str | None:
    if isinstance(value, list):
        value = next((each for each in value if not _is_missing(each)), None)
    if _is_missing(value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value in (math.inf, -math.inf):
        raise BadSample("bad json", f"group is {type(value).__name__}, where a text or a number is wanted")
    return _sound(str(value), "group")


def _sound(text: str, what: str) -> str:
    """The text, if it is one: half a surrogate pair, which JSON can spell, cannot be written nor tokenised."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadSample("bad utf-8", f"half a surrogate pair in {what or 'a caption'} at {error.start}") from None
    return text


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
