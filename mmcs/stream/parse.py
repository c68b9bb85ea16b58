"""The second stage: the bytes of ``.txt`` and ``.json`` → captions per language and the sample's group."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from mmcs.stream.drops import BadSample


class ParseSample:
    """Sample stage: "files" → "caption", "captions" and "group".

    "captions" holds every non-empty caption by language (BCP 47); those of the ``.txt``'s language are the ``.txt``
    first, then those of the ``.json``'s ``captions``. "caption" is the first of them. Without a caption in ``.txt``
    the ``.json``'s "caption" (img2dataset's copy of it) stands in. "group" is the ``.json``'s, else the identity.

    Args:
        languages: those to keep; None: all. That of the ``.txt`` is always kept.
        text_language: that of the ``.txt``: English, by the contract of shards.

    Raises:
        BadSample: "bad utf-8", "bad json", "empty caption" (there is one, it is blank) or "no caption" (in that language).
    """

    def __init__(self, languages: Collection[str] | None = None, *, text_language: str = "en") -> None:
        self.text_language = text_language
        self.languages = None if languages is None else {text_language, *languages}

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        files = sample["files"]
        text, meta = files.pop("txt", None), files.pop("json", None)
        record = {} if meta is None else _object(_decoded(meta, "json"))
        captions = {
            language: _captions(texts)
            for language, texts in _object(record.get("captions") or {}).items()
            if self.languages is None or language in self.languages
        }
        first = _captions("" if text is None else _decoded(text, "txt")) or _captions(record.get("caption"))
        own = list(dict.fromkeys([*first, *captions.get(self.text_language, [])]))
        if not own:
            blank = text is not None or "caption" in record or self.text_language in captions
            raise BadSample("empty caption" if blank else "no caption")
        sample["caption"] = own[0]
        sample["captions"] = {self.text_language: own} | {
            language: texts for language, texts in captions.items() if texts and language != self.text_language
        }
        group = record.get("group")
        sample["group"] = sample["identity"] if group is None else str(group)
        return sample


def _decoded(content: bytes, extension: str) -> Any:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadSample("bad utf-8", f".{extension} at byte {error.start}") from None
    if extension != "json":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadSample("bad json", str(error)) from None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadSample("bad json", f"an object is wanted, not {type(value).__name__}")
    return value


def _captions(value: Any) -> list[str]:
    """The non-empty captions of a string or a list of strings."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [text.strip() for text in texts if isinstance(text, str) and text.strip()]
