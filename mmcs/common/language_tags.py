"""Language tags: one spelling per language, and regional variants that fall back to their language.

Every tag that enters mmcs (keys of shards, columns of tables, languages of lexicons, options) passes through
``language_tag``. Where all tags of a set are known, ``languages_of`` says which language each of them stands for, and
``find_language`` finds a language that a user asks for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable

from mmcs.errors import UserError

_FORM = re.compile(
    r"[a-z]{2,3}(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?(?:-(?:[a-z0-9]{5,8}|\d[a-z0-9]{3}))*", re.IGNORECASE
)
_LOCALE = re.compile(r"(?<=[a-zA-Z])\.[\w-]+")  # de_DE.UTF-8
# Published results name Cuzco Quechua (XM3600), and dictionaries of Kurdish name Kurmanji: not their macrolanguages.
_OWN_NAME = frozenset({"quz", "kmr"})
# "no" is Bokmål or Norwegian in general: data sets use both tags for the same text.
_SAME = {"nb": "no", "no": "nb"}


@functools.lru_cache(maxsize=4096)
def language_tag(text: str) -> str:
    """The BCP 47 tag in its canonical spelling of a tag or a POSIX locale (``pt_BR``, ``sr@latin``, ``de_DE.UTF-8``).

    Deprecated and three-letter codes become today's (``iw`` is ``he``, ``deu`` is ``de``). A script or region that the
    language has by itself (CLDR likely subtags) is left out, and English is ``en`` in every region. Chinese is named by
    its script. The region of Portuguese stays: where ``pt`` and ``pt-BR`` occur together they differ.

    >>> language_tag("DE"), language_tag("de_DE"), language_tag("en-GB"), language_tag("zh_TW"), language_tag("pt_br")
    ('de', 'de', 'en', 'zh-Hant', 'pt-BR')

    Raises:
        UserError: it is neither, or no such language, script or region is registered.
    """
    import langcodes  # its tables take a moment to load

    tag = _LOCALE.sub("", text.strip()).replace("_", "-")
    tag = tag.replace("@latin", "-Latn").replace("@cyrillic", "-Cyrl").replace("@", "-")
    if _FORM.fullmatch(tag) is None or not langcodes.tag_is_valid(tag):
        raise UserError(f"'{text}' is not a language tag (BCP 47: de, pt-BR, zh-Hans).")
    language = langcodes.Language.get(tag)
    macro = langcodes.Language.get(langcodes.standardize_tag(tag, macro=True))
    if language.language not in _OWN_NAME and len(macro.language or "") == 2:
        language = macro
    if language.language == "en":
        return "en"
    if language.language == "zh":
        return f"zh-{language.maximize().script}"
    base = langcodes.Language.make(language=language.language)
    script = None if language.script == base.maximize().script else language.script
    likely = langcodes.Language.make(language=language.language, script=script).maximize().territory
    own = language.territory == likely and language.language != "pt"
    return "-".join(
        filter(None, (language.language, script, None if own else language.territory, *(language.variants or ())))
    )


@functools.lru_cache(maxsize=4096)
def tag_of(text: str) -> str | None:
    """``language_tag`` of a key or column of data; None where it is no language.

    >>> tag_of("pt_BR"), tag_of("original")
    ('pt-BR', None)
    """
    try:
        return language_tag(text)
    except UserError:
        return None


def without_region(tag: str) -> str:
    """A canonical tag without region and variants.

    >>> without_region("de-AT"), without_region("sr-Latn"), without_region("zh-Hans")
    ('de', 'sr-Latn', 'zh-Hans')
    """
    language, *rest = tag.split("-")
    script = [part for part in rest[:1] if len(part) == 4 and part.isalpha()]
    return "-".join([language, *script])


def languages_of(tags: Iterable[str]) -> dict[str, str]:
    """Which language each of a set of canonical tags stands for.

    A regional variant stands for its language, unless the set has the language itself or another variant of it.

    >>> languages_of(["en", "de-AT", "pt", "pt-BR"])
    {'en': 'en', 'de-AT': 'de', 'pt': 'pt', 'pt-BR': 'pt-BR'}
    """
    tags = list(dict.fromkeys(tags))
    bases = [without_region(tag) for tag in tags]
    return {tag: base if bases.count(base) == 1 else tag for tag, base in zip(tags, bases, strict=True)}


def find_language(wanted: str, available: Collection[str]) -> str | None:
    """The tag of ``available`` that serves ``wanted``: itself, else its language, else its only variant; None: none does.

    >>> find_language("pt-BR", ["en", "pt"]), find_language("de", ["de-AT"]), find_language("de", ["en"])
    ('pt', 'de-AT', None)
    """
    base = without_region(wanted)
    for tag in (wanted, base, _SAME.get(base)):
        if tag in available:
            return tag
    variants = [tag for tag in available if without_region(tag) == base]
    return variants[0] if len(variants) == 1 else None


def known_language(wanted: str, available: Collection[str]) -> str | None:
    """``find_language`` for a tag as a user types it, in any spelling; None: none serves it, or it is no tag.

    >>> known_language("DE", ["de", "fi"]), known_language("de_AT", ["de", "fi"]), known_language("sv", ["de", "fi"])
    ('de', 'de', None)
    """
    try:
        return wanted if wanted in available else find_language(language_tag(wanted), available)
    except UserError:
        return None


def find_languages(wanted: Iterable[str], available: Collection[str]) -> dict[str, str]:
    """Those of ``wanted`` that ``available`` serves, with the language that serves each (canonical tags).

    >>> find_languages(["pt-BR", "fi", "en"], ["en", "pt"])
    {'pt-BR': 'pt', 'en': 'en'}
    """
    found = ((language, find_language(language, available)) for language in wanted)
    return {language: own for language, own in found if own is not None}
