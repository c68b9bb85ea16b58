"""What a Wikipedia title says: its phrase without "(...)", its namespace, and the languages behind Wikipedia's codes.

Rules on text alone; where titles come from and where they go is the business of ``wikititles``, which calls this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mmcs.codeswitch.lexicon import DOTLESS
from mmcs.common.language_tags import language_tag, without_region
from mmcs.errors import UserError

# Codes that are no tags of the language, or other languages' tags (als is Tosk Albanian); nrm is Norman there.
_TAGS = {
    "als": "gsw", "bat-smg": "sgs", "be-x-old": "be-tarask", "bh": "bho", "cbk-zam": "cbk", "fiu-vro": "vro", "nrm": "nrf",
    "roa-rup": "rup", "simple": "en", "zh-classical": "lzh", "zh-min-nan": "nan", "zh-yue": "yue",
}  # fmt: skip
_OWN_WIKI = frozenset({"be-tarask", "nds-NL"})
_FURTHER = {"nb": ("no",), "fil": ("tl",), "zh-Hans": ("zh",)}

_WIKI = re.compile(r"([a-z]{2,}(?:_[a-z]+)*)wiki-(?:.+-)?(?:page|langlinks)\.sql(?:\.gz)?")
# An ASCII bracket belongs to the name where no space is before it: "titanium(III)", "f(x)".
_BRACKET = re.compile(r"(?:\s+\((?:[^()]|\([^()]*\))*\)|\s*\uff08[^\uff08\uff09]*\uff09)\s*$")
# Namespaces that every wiki knows in English, and their local names in the largest wikis: only what is surely no article.
_NAMESPACES = (
    "category|template|user|wikipedia|help|portal|file|image|mediawiki|module|draft|special|talk|kategorie|catégorie|categoría|"
    "categoria|categorie|kategori|kategoria|kategória|kategorija|luokka|kategorio|flokkur|категория|категорія|категорија|"
    "категорыя|κατηγορία|تصنيف|رده|קטגוריה|श्रेणी|বিষয়শ্রেণী|หมวดหมู่|thể loại|分类|分類|분류|vorlage|modèle|plantilla|"
    "predefinição|sjabloon|malline|mall|mal|szablon|šablona|шаблон|قالب|תבנית|benutzer|utilisateur|usuario|utente|gebruiker|"
    "käyttäjä|användare|участник|hilfe|aide|ayuda|aiuto|ajuda|ohje|hjälp|справка|portale|portail|portaal|portaali|портал|"
    "wikipédia|vikipedi|википедия|вікіпедія|ويكيبيديا|ויקיפדיה|विकिपीडिया|anexo|datei|fichier|archivo|bestand|tiedosto"
)
_PREFIX = re.compile(rf"(?:{_NAMESPACES}):\S", re.IGNORECASE)
# Languages that write nouns with a capital: elsewhere a title's first capital is Wikipedia's, not the word's.
_NOUNS_IN_CAPITALS = frozenset({"de", "lb", "nds", "bar", "gsw", "pfl", "pdc", "ksh", "frr", "stq"})


def plain(title: str) -> tuple[str, bool]:
    """A title without the "(...)" that tells it from others, and whether it had none.

    >>> plain("Mercury_(planet)"), plain("Titanium(III)_oxide")
    (('Mercury', False), ('Titanium(III) oxide', True))
    """
    text = title.replace("_", " ").strip()
    whole = True
    while text.endswith((")", "\uff09")) and (bracket := _BRACKET.search(" " + text)) is not None:
        text, whole = text[: max(bracket.start() - 1, 0)].rstrip(), False
    return text, whole


def prefixed(title: str) -> bool:
    """Whether a title is surely one of another namespace ("Kategorie:Hund"); "Alien: Covenant" is an article."""
    return ":" in title and _PREFIX.match(title) is not None


def in_text(title: str, language: str) -> str:
    """A title as it would stand inside a sentence: Wikipedia begins every title with a capital.

    A title with further capitals is a name and stays; so does every one in languages that write nouns with a capital. Names
    of one word lose theirs, and get it back from the word whose place they take.

    >>> in_text("Koira", "fi"), in_text("Hund", "de"), in_text("Nueva York", "es"), in_text("Işık", "tr")
    ('koira', 'Hund', 'Nueva York', 'ışık')
    """
    base = language.split("-", 1)[0]
    if base in _NOUNS_IN_CAPITALS or any(map(str.isupper, title[1:])):
        return title
    first = {"I": "\u0131", "\u0130": "i"}.get(title[:1]) if base in DOTLESS else None
    return (first or title[:1].lower()) + title[1:]


def tag_of(language: str) -> str:
    """The BCP 47 tag of a tag or of Wikipedia's code, which may be another thing: als is Swiss German there.

    All regions of a language write in one wiki: ``pt-BR`` is ``pt``.

    Raises:
        UserError: it is neither.
    """
    code = language.strip().lower().replace("_", "-")
    tag = _TAGS.get(code) or language_tag(language)
    return tag if tag in _OWN_WIKI else without_region(tag)


def wikis_of(tag: str) -> list[str]:
    """The codes under which links to the wiki of a language may stand; Simple English is no target.

    >>> wikis_of("yue"), wikis_of("nb")
    (['zh-yue', 'yue'], ['nb', 'no'])
    """
    special = [code for code, of in _TAGS.items() if of == tag and code != "simple"]
    own = [] if tag.lower() in _TAGS else [tag.lower()]
    if not (codes := [*special, *own, *_FURTHER.get(tag, ())]):
        raise UserError(f"Wikipedia's code '{tag.lower()}' stands for another language ({_TAGS[tag.lower()]}).")
    return codes


def source_of(paths: Sequence[Path], source_language: str) -> str:
    """The language (BCP 47) of the wiki of two dumps, by their names unless it is given.

    Raises:
        UserError: they are of two wikis, of another one than ``source_language``, or nothing names it.
    """
    told = {match[1]: path.name for path in paths if (match := _WIKI.fullmatch(path.name))}
    if len(told) > 1:
        raise UserError(f"{' and '.join(told.values())} are of two wikis; a page's number means nothing in the other.")
    if not told and not source_language:
        raise UserError(
            f"{paths[0].name} does not tell the wiki (enwiki-20250101-page.sql.gz): say --source-language en."
        )
    named = tag_of(next(iter(told))) if told else ""
    if named and source_language and tag_of(source_language) != named:
        raise UserError(
            f"{next(iter(told.values()))} is a dump of the wiki in {named} by its name, --source-language says "
            f"{source_language}; leave the option out, or rename the file."
        )
    return named or tag_of(source_language)
