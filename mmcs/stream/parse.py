"""The second stage: the bytes of ``.txt`` and ``.json`` → captions per language and the sample's group."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Collection
from typing import Any

from mmcs.stream.drops import BadSample

#: Tokenisers take them out, too; before that they would reach terminals and reports. White space is none of them.
_CONTROL = re.compile("[\0-\x08\x0e-\x1b\x7f]")


class ParseSample:
    """Sample stage: "files" → "caption", "captions" and "group".

    "captions" holds every non-empty caption by language (BCP 47), without control characters; those of the ``.txt``'s
    language are the ``.txt`` first, then those of the ``.json``'s ``captions``. "caption" is the first of them. Without a
    caption in ``.txt`` the ``.json``'s "caption" (img2dataset's copy of it) stands in.

    Where a source has a "caption_field", that alone gives the captions of the ``.txt``'s language: a key of the
    ``.json`` (a string or a list of strings), or with a leading dot a file of the sample (``.cap``).

    "group" is the ``.json``'s (a string or a number), else the identity. Of a key that a ``.json`` has twice the last
    counts, as in Python; null, and the NaN that tables leave for an empty cell, mean that there is none.

    Args:
        languages: those to keep; None: all. That of the ``.txt`` is always kept.
        text_language: that of the ``.txt``: English, by the contract of shards.
        longest_caption: characters. No text tower reads so many, and what is done to captions before takes its time.

    Raises:
        BadSample: "bad utf-8" (half a surrogate pair in the ``.json``, too), "bad json" (of the wrong form, too),
            "caption too long", "empty caption" (there is one, it is blank) or "no caption" (in that language).
    """

    def __init__(
        self, languages: Collection[str] | None = None, *, text_language: str = "en", longest_caption: int = 10_000
    ) -> None:
        self.text_language = text_language
        self.languages = None if languages is None else {text_language, *languages}
        self.longest_caption = longest_caption

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        files, field = sample["files"], sample.pop("caption_field", None)
        meta = files.pop("json", None)
        record = {} if meta is None else _object(_json(_text(meta, "json")), "the .json")
        captions = {
            _sound(language, "a language"): self._captions(texts, f"captions.{language}")
            for language, texts in _object(record.get("captions") or {}, "captions").items()
            if self.languages is None or language in self.languages
        }
        own, blank = self._own(files, record, field)
        own = list(dict.fromkeys(own))
        if field is None:
            # A copy of the .txt among the further captions is no further one; what people wrote twice counts twice.
            own += [text for text in captions.get(self.text_language, []) if text not in own]
            blank = blank or self.text_language in captions
        if not own:
            raise BadSample("empty caption" if blank else "no caption")
        sample["caption"] = own[0]
        sample["captions"] = {self.text_language: own} | {
            language: texts for language, texts in captions.items() if texts and language != self.text_language
        }
        sample["group"] = _group(record.get("group")) or sample["identity"]
        return sample

    def _own(self, files: dict[str, bytes], record: dict[str, Any], field: str | None) -> tuple[list[str], bool]:
        """The captions of the ``.txt`` or of what stands in its place, and whether there is anything, blank or not."""
        text = files.pop("txt", None)
        if field is not None and field.startswith("."):
            text = text if field == ".txt" else files.pop(field[1:].lower(), None)
        if field is None or field.startswith("."):
            own = [] if text is None else self._captions(_text(text, "txt" if field is None else field[1:]), "")
            if own or field is not None:
                return own, text is not None
        key = "caption" if field is None else field
        return self._captions(record.get(key), key), key in record or (field is None and text is not None)

    def _captions(self, value: Any, what: str) -> list[str]:
        """The non-empty captions of a string or a list of strings."""
        captions = []
        for text in value if isinstance(value, list) else [value]:
            if _is_missing(text):
                continue
            if not isinstance(text, str):
                raise BadSample("bad json", f"{what} holds {type(text).__name__}, not a text")
            text = _sound(text, what).strip()
            if not text.isprintable():
                text = _CONTROL.sub("", text).strip()
            if len(text) > self.longest_caption:
                raise BadSample("caption too long", f"{len(text):,} characters, more than {self.longest_caption:,}")
            if text:
                captions.append(text)
        return captions


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
