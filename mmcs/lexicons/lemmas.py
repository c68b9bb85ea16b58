"""Base forms of words (cats -> cat) as a lexicon of a language into itself, so that all workers share one mapped copy.

They come from simplemma's dictionaries, which as Python objects would take 30 to 140 MB in every worker. ``Lookup``
tries them where a lexicon lacks a word; ``coverage`` counts what that gains.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmcs.codeswitch.lexicon import Lexicon, normaliser
from mmcs.errors import DataError, UserError
from mmcs.files import cache_folder
from mmcs.lexicons.format import write_lexicon

# BCP 47 tags of simplemma's languages; where its code is another, its code.
_CODES = {"hr": "hbs", "sr": "hbs", "bs": "hbs", "sh": "hbs", "no": "nb"}
LANGUAGES = frozenset({
    "ar", "ast", "bg", "bs", "ca", "cs", "cy", "da", "de", "el", "en", "eo", "es", "et", "fa", "fi", "fr", "ga", "gd", "gl",
    "gv", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ka", "la", "lb", "lt", "lv", "mk", "ml", "ms", "nb", "nl", "nn",
    "no", "pl", "pt", "ro", "ru", "se", "sh", "sk", "sl", "sq", "sr", "sv", "sw", "tl", "tr", "uk",
})  # fmt: skip


class Lemmas:
    """Maps a normalised word to its base forms, normalised; empty where it is one itself, or unknown."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.language = lexicon.source_language

    def __call__(self, word: str) -> list[str]:
        return [candidate.text for candidate in self.lexicon.candidates(word, self.language)]


def lemmas_of(language: str) -> Lemmas:
    """The base forms of ``language`` (BCP 47); written to the cache folder on first use.

    Raises:
        UserError: simplemma does not know the language; the sentence lists those it knows.
    """
    base = language.split("-", 1)[0]
    if base not in LANGUAGES:
        raise UserError(
            f"no base forms are known of {language} (known: {', '.join(sorted(LANGUAGES))}); set codeswitch.lemmas=false."
        )
    import simplemma

    path = cache_folder() / "lexicons" / f"lemmas-{base}-simplemma-{simplemma.__version__}.lex"
    try:
        return Lemmas(Lexicon.open(path))
    except (UserError, DataError):
        return Lemmas(Lexicon.open(_write(path, base, simplemma.__version__)))


def _write(path: Path, language: str, version: str) -> Path:
    from simplemma.strategies.dictionaries import DefaultDictionaryFactory

    forms = DefaultDictionaryFactory().get_dictionary(_CODES.get(language, language))
    source = {
        "name": f"simplemma {version}",
        "provenance": f"dictionary of simplemma {version}",
        "licence": "MIT",
    }
    return write_lexicon(path, {language: base_forms(forms, language)}, source_language=language, sources=[source])


def base_forms(forms: Mapping[str, str], language: str) -> dict[str, list[tuple[str, float]]]:
    """Per normalised form its base forms, those of forms without capitals first; forms that are their own are left out."""
    from mmcs.progress import track

    fold = normaliser(language)
    found: dict[str, list[tuple[str, float]]] = {}
    capitals: list[tuple[str, str]] = []

    def add(form: str, lemma: str) -> None:
        word, base = fold(form), (fold(lemma), 1.0)
        if word and base[0] and word != base[0] and " " not in word:
            bases = found.setdefault(word, [])
            if base not in bases:
                bases.append(base)

    for form, lemma in track(forms.items(), f"Base forms of {language}, once", len(forms)):
        if form.islower():
            add(form, lemma)
        else:
            capitals.append((form, lemma))
    for form, lemma in capitals:
        add(form, lemma)
    return found
