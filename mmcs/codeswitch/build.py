"""From the ``codeswitch`` part of a configuration to its stages: the one place that knows strategies by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcs.codeswitch.controls import WordDrop
from mmcs.codeswitch.lexicon import Lexicon, normalise
from mmcs.codeswitch.stage import SwitchCaption
from mmcs.codeswitch.strategy import Strategy
from mmcs.codeswitch.translate import Translate
from mmcs.codeswitch.words import Bilingual, Multilingual, one_of
from mmcs.errors import UserError

STRATEGIES = ("bilingual", "multilingual", "translate")
CONTROLS = ("shuffled_lexicon", "word_drop")


class Lexicons:
    """Several lexicons as one: for each language the first that knows a phrase wins."""

    def __init__(self, lexicons: Sequence[Lexicon]) -> None:
        self.lexicons = tuple(lexicons)
        self.languages = tuple(dict.fromkeys(language for lexicon in lexicons for language in lexicon.languages))

    def candidates(self, phrase: str, language: str) -> tuple[tuple[str, float], ...]:
        """Ranked ``(text, weight)`` of a normalised phrase; empty where no lexicon has it."""
        for lexicon in self.lexicons:
            found = lexicon.candidates(phrase, language)
            if found:
                return found
        return ()


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


def read_keep(path: str | Path | None) -> frozenset[str]:
    """Words never switched, one per line (UTF-8); ``#`` starts a comment line."""
    if path is None:
        return frozenset()
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"codeswitch.keep: there is no file {path}.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"codeswitch.keep: {path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    return frozenset(normalise(line) for line in lines if line.strip() and not line.startswith("#"))


def build_strategy(
    strategy: str,
    *,
    lexicons: Sequence[str | Path] = (),
    languages: Sequence[str] | None = None,
    control: str | None = None,
    keep: str | Path | None = None,
    seed: int = 0,
    **options: Any,
) -> Strategy:
    """The strategy called ``strategy``, wrapped by ``control``. ``options`` go to it (p, language_per, candidates).

    Raises:
        UserError: an unknown name, or a value out of range; the sentence lists what is known.
    """
    one_of("codeswitch.strategy", strategy, STRATEGIES)
    if control is not None:
        one_of("codeswitch.control", control, CONTROLS)
    built: Strategy
    if strategy == "translate":
        built = Translate(languages or (), p=options["p"])
    else:
        lexicon = open_lexicons(lexicons, shuffled_seed=seed if control == "shuffled_lexicon" else None)
        kind = Bilingual if strategy == "bilingual" else Multilingual
        built = kind(lexicon, languages, keep=read_keep(keep), **options)
    return WordDrop(built) if control == "word_drop" else built


def build_switch(config: dict[str, Any] | None, *, seed: int) -> tuple[SwitchCaption | None, tuple[str, ...]]:
    """The switch of a run's ``codeswitch`` configuration and the languages it writes; (None, ()) for ``none``."""
    if not config or config.get("strategy") is None:
        return None, ()
    options = dict(config)
    options.pop("variants", None)  # belongs to ChooseCaption: it also bounds the English captions
    views, keep_english = options.pop("views"), options.pop("keep_english")
    strategy = build_strategy(options.pop("strategy"), seed=seed, **options)
    return SwitchCaption(strategy, seed=seed, views=views, keep_english=keep_english), strategy.languages
