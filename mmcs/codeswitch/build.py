"""From the ``codeswitch`` part of a configuration to its stages: the one place that knows strategies by name.

A strategy that stands in nobody's list is named MODULE.CLASS (``own_class``).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcs.codeswitch.controls import WordDrop
from mmcs.codeswitch.lexicon import Lexicon, Ranked, normaliser
from mmcs.codeswitch.lookup import Candidates, Lookup
from mmcs.codeswitch.schedule import one_of
from mmcs.codeswitch.stage import SwitchCaption
from mmcs.codeswitch.strategy import Strategy
from mmcs.codeswitch.translate import Translate
from mmcs.codeswitch.words import Bilingual, Dictionary, Multilingual, Phrases
from mmcs.common.language_tags import known_language, language_tag
from mmcs.errors import UserError

WITH_LEXICON: dict[str, Callable[..., Strategy]] = {
    "bilingual": Bilingual,
    "multilingual": Multilingual,
    "phrases": Phrases,
    "dictionary": Dictionary,
}
STRATEGIES = (*WITH_LEXICON, "translate")
CONTROLS = ("shuffled_lexicon", "word_drop")
FALLBACKS = ("available", "source", *WITH_LEXICON)
# The study's own ways (Litschko et al. 2023): exact forms alone, function words too, and at first no phrases.
ML_CS = {"strategy": "multilingual", "max_tokens": 1, "lemmas": False, "content_words_only": False}
STUDY: dict[str, dict[str, Any]] = {
    "bl_cs": ML_CS | {"strategy": "bilingual"},
    "ml_cs": ML_CS,
    "wiki_cs": ML_CS | {"strategy": "phrases", "max_tokens": 3},
}
AUTO = "auto"
_OF_LEXICON = ("lexicons", "candidates", "keep", "content_words_only", "lemmas")


class Lexicons:
    """Several lexicons as one: for each language the first that has a phrase decides (``Lookup`` tries base forms per lexicon).

    Raises:
        UserError: they have different source languages.
    """

    def __init__(self, lexicons: Sequence[Lexicon]) -> None:
        self.lexicons = tuple(lexicons)
        self.languages = tuple(dict.fromkeys(language for lexicon in lexicons for language in lexicon.languages))
        self.source_language = lexicons[0].source_language
        self.max_tokens = max(lexicon.max_tokens for lexicon in lexicons)
        for lexicon in lexicons:
            if lexicon.source_language != self.source_language:
                raise UserError(
                    f"codeswitch.lexicons: {lexicons[0].path} translates from {self.source_language}, {lexicon.path} from "
                    f"{lexicon.source_language}; use lexicons of one source language."
                )

    def candidates(self, phrase: str, language: str) -> Ranked:
        """Ranked candidates of a normalised phrase; empty where no lexicon has it."""
        for lexicon in self.lexicons:
            found = lexicon.candidates(phrase, language)
            if found:
                return found
        return ()

    def longest(self, beginning: str) -> int:
        """Words of the longest phrase, in any of them, that begins with ``beginning`` or is it."""
        return max(lexicon.longest(beginning) for lexicon in self.lexicons)

    def __contains__(self, phrase: str) -> bool:
        return any(phrase in lexicon for lexicon in self.lexicons)


def open_lexicons(paths: Sequence[str | Path], *, shuffled_seed: int | None = None) -> Lexicons | Lexicon:
    """Opens ``paths``; with ``shuffled_seed`` a copy of each with wrong partners, kept in the cache folder.

    Raises:
        UserError: no path, or one that does not exist. DataError: one that cannot be read.
    """
    if not paths:
        raise UserError(
            "no lexicon: set codeswitch.lexicons=[FILE.lex] (mmcs lexicon build makes one), or codeswitch=none to train on English alone."
        )
    opened = [Lexicon.open(Path(path)) for path in paths]
    if shuffled_seed is not None:
        from mmcs.lexicons.shuffle import shuffled_copy

        opened = [Lexicon.open(shuffled_copy(Path(path), shuffled_seed)) for path in paths]
    return opened[0] if len(opened) == 1 else Lexicons(opened)


def read_keep(path: str | Path | None) -> list[str]:
    """Words and phrases never switched, one per line (UTF-8); ``#`` starts a comment line."""
    if path is None:
        return []
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"codeswitch.keep: there is no file {path}.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"codeswitch.keep: {path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def build_strategy(settings: Mapping[str, Any], *, seed: int = 0) -> Strategy:
    """The strategy that ``settings`` describe (keys as in ``conf/codeswitch``; what is not given has its default there).

    Raises:
        UserError: an unknown name or key, a class that is no strategy, or a value out of range; the sentence lists what is known.
    """
    options = {key: value for key, value in settings.items() if value is not None}
    name = options.pop("strategy")
    own = _own_class(name) if isinstance(name, str) and "." in name else None
    if own is None:
        one_of("codeswitch.strategy", name, STRATEGIES)
    control = options.pop("control", None)
    if control is not None:
        one_of("codeswitch.control", control, CONTROLS)
    source_language = options.pop("source_language", None)
    of_lexicon = {key: options.pop(key) for key in _OF_LEXICON if key in options}
    languages = options.pop("languages", None)
    shuffled_seed = seed if control == "shuffled_lexicon" else None
    built: Strategy
    if name == "translate":
        languages = list(dict.fromkeys(map(language_tag, languages or ())))
        fallback = options.pop("fallback", "available")
        if shuffled_seed is not None and fallback in FALLBACKS[:2]:
            raise UserError(
                "codeswitch.control=shuffled_lexicon shuffles a lexicon, and codeswitch=translate uses none."
            )
        options["fallback"] = _fallbacks(fallback, languages, of_lexicon, source_language, shuffled_seed)
        built = _construct(Translate, name, languages, options)
    else:
        lookup = _lookup(of_lexicon, languages, source_language, shuffled_seed)
        if own is None:
            built = _construct(WITH_LEXICON[name], name, lookup, options)
        else:
            built = _construct_own(own, name, lookup, options)
    return WordDrop(built) if control == "word_drop" else built


def _construct(kind: Callable[..., Strategy], name: str, first: Any, options: Mapping[str, Any]) -> Strategy:
    try:
        return kind(first, **options)
    except TypeError:
        known = [
            key
            for key, about in inspect.signature(_signature_of(kind)).parameters.items()
            if about.kind is about.KEYWORD_ONLY
        ]
        if unknown := [key for key in options if key not in known]:
            raise UserError(
                f"codeswitch.{unknown[0]} is not an option of codeswitch={name}; it takes {', '.join((*_OF_LEXICON, *known))}."
            ) from None
        raise


def _own_class(name: str) -> Callable[..., Strategy]:
    """The class that MODULE.CLASS names: of a file of the user's own, where Python finds it."""
    module, _, member = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"codeswitch.strategy={name} is no name of a class; write MODULE.CLASS.")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"codeswitch.strategy={name}: {module} cannot be imported ({error}); Python looks in the folders of PYTHONPATH."
        ) from None
    if not inspect.isclass(getattr(found, member, None)):
        raise UserError(f"codeswitch.strategy={name}: {module} has no class {member}.")
    return getattr(found, member)


def _construct_own(kind: Callable[..., Strategy], name: str, lookup: Lookup, options: dict[str, Any]) -> Strategy:
    """An instance of the user's class: of the lookup, with ``options`` and what stands in ``options["options"]``."""
    inner = options.pop("options", {})
    if not isinstance(inner, Mapping):
        raise UserError(f"codeswitch.options are keys and values such as {{p: 0.5}}; got {inner!r}.")
    options = {**options, **inner}
    try:
        inspect.signature(kind).bind(lookup, **options)
    except (TypeError, ValueError) as error:  # ValueError: a class written in C does not say what it takes
        given = ", ".join(("lookup", *options))
        raise UserError(f"codeswitch.strategy={name} cannot be made of {given}: {error}.") from None
    built = kind(lookup, **options)
    lacks = [needed for needed in ("languages", "reads", "constant") if not hasattr(built, needed)]
    if lacks or not callable(built):
        raise UserError(f"codeswitch.strategy={name} is no strategy: it has no {', '.join(lacks or ['__call__'])}.")
    return built


def _signature_of(kind: Any) -> Any:
    return Multilingual if kind is Bilingual else kind


def _lookup(
    settings: Mapping[str, Any], languages: Sequence[str] | None, source_language: str | None, shuffled_seed: int | None
) -> Lookup:
    lexicon: Candidates = open_lexicons(settings.get("lexicons", ()), shuffled_seed=shuffled_seed)
    source = lexicon.source_language
    if source_language is not None and known_language(source_language, [source]) is None:
        raise UserError(
            f"codeswitch.source_language is {source_language}, but the lexicons translate from {source}; "
            f"set codeswitch.source_language={source}, or use other lexicons."
        )
    return Lookup(
        lexicon,
        languages,
        candidates=settings.get("candidates", "first"),
        keep=read_keep(settings.get("keep")),
        skip=_function_words(settings.get("content_words_only", AUTO), source),
        lemmas=_lemmas(settings.get("lemmas", AUTO), source),
    )


def _function_words(wanted: bool | str, language: str) -> frozenset[str]:
    """The function words of ``language``, normalised; "auto": those that are known."""
    if not _switch_of("codeswitch.content_words_only", wanted):
        return frozenset()
    from mmcs.lexicons.frequency import stop_words

    found = frozenset(map(normaliser(language), stop_words(language)))
    if not found and wanted != AUTO:
        raise UserError(
            f"codeswitch.content_words_only: no function words are known of {language}; set it to auto or false."
        )
    return found


def _lemmas(wanted: bool | str, language: str) -> Any:
    """The base forms of ``language``; "auto": where they are known."""
    if not _switch_of("codeswitch.lemmas", wanted):
        return None
    from mmcs.lexicons.lemmas import LANGUAGES, lemmas_of

    if wanted == AUTO and language.split("-", 1)[0] not in LANGUAGES:
        return None
    return lemmas_of(language)


def _switch_of(key: str, value: bool | str) -> bool:
    if value != AUTO and not isinstance(value, bool):
        raise UserError(f"{key} must be true, false or auto; got {value!r}.")
    return bool(value)


def _fallbacks(
    fallback: str | Mapping[str, Any],
    languages: Sequence[str],
    of_lexicon: Mapping[str, Any],
    source_language: str | None,
    shuffled_seed: int | None,
) -> dict[str, Strategy] | None:
    """Per language the strategy that takes the place of a missing translation; None: another language is drawn."""
    options = {"strategy": fallback} if isinstance(fallback, str) else dict(fallback)
    name = one_of("codeswitch.fallback", options.pop("strategy", ""), FALLBACKS)
    if name in FALLBACKS[:2]:
        return None if name == "available" else {}
    held = open_lexicons(of_lexicon.get("lexicons", ())).languages
    usable = [language for language in languages if known_language(language, held) is not None]
    if not usable:
        raise UserError(
            f"codeswitch.fallback={name}: the lexicons hold {', '.join(held)}, none of codeswitch.languages ({', '.join(languages)})."
        )
    return {
        language: _construct(
            WITH_LEXICON[name], name, _lookup(of_lexicon, [language], source_language, shuffled_seed), options
        )
        for language in usable
    }


def build_switch(config: Mapping[str, Any] | None, *, seed: int) -> tuple[SwitchCaption | None, tuple[str, ...]]:
    """The switch of a run's ``codeswitch`` configuration and the languages it writes; (None, ()) for ``none``."""
    if not config or config.get("strategy") is None:
        return None, ()
    options = dict(config)
    options.pop("variants", None)  # belongs to ChooseCaption: it also bounds the captions of the source language
    views, keep_english = options.pop("views", ("switched",)), options.pop("keep_english", 0.0)
    strategy = build_strategy(options, seed=seed)
    return SwitchCaption(strategy, seed=seed, views=views, keep_english=keep_english), strategy.languages
