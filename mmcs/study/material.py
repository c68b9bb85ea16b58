"""What the study trains and measures on: stamps, emoji and FreeDict's dictionaries, made once, or what the user names.

Settings are chosen in one stage, systems compared in another, which shares neither languages nor measured concepts with it
(``Material``). Runs are ``jobs``' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmcs.config import resolve
from mmcs.demo import say
from mmcs.errors import MmcsError, UserError
from mmcs.report.names import BASELINE
from mmcs.study.plan import Arm, Plan, Stage

SUITE = "stamps_emoji"
VAL = 0.2  # of the concepts: settings are chosen on them
INVERTED = "inverted"


@dataclass(frozen=True)
class Material:
    """The study's data.

    Attributes:
        choosing: the stage in which settings are chosen.
        comparing: the stage whose figures count.
        lexicons: further lexicons by name, for ablations.
        into_english: lexicons that lead from a seen language to English, for Translate-Test.
        notes: what must be said of the data beside the figures.
    """

    choosing: Stage
    comparing: Stage
    lexicons: dict[str, list[str]] = field(default_factory=dict)
    into_english: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def prepare(plan: Plan) -> Material:
    """Makes the data, or finds it where it was made before.

    Raises:
        UserError, DataError: what cannot be had or used.
    """
    composed = resolve(plan.compose(Arm(BASELINE, BASELINE)))
    data = Path(composed["data_dir"]).absolute()
    material = _own(plan, composed) if plan.own_data else _stamps_and_emoji(plan, data)
    further = plan.settings["further"]
    if further["systems"] and "translate_test" in further["settings"]:
        _add_translators(material, (plan.out if plan.own_data else data / "study") / "into_english")
    return material


def _stamps_and_emoji(plan: Plan, data: Path) -> Material:
    from mmcs.prepare.emoji import prepare_emoji
    from mmcs.prepare.layout import Layout
    from mmcs.prepare.stamps import prepare_stamps

    settings, sources = plan.settings, plan.settings["sources"]
    chosen_on, tested_on = settings["chosen_on"], settings["tested_on"]
    languages = [tag for own in (chosen_on, tested_on) for tag in (*own["seen"], *own["unseen"])]
    shared = sorted({tag for tag in languages if languages.count(tag) > 1})
    if shared:
        raise UserError(
            f"study.chosen_on and study.tested_on share {', '.join(shared)}: choose settings in other languages."
        )
    layout, cldr = Layout(val=VAL), [Path(sources["cldr"])] if sources["cldr"] else []
    say("data: emoji, with CLDR's names")
    prepare_emoji(data / "study" / "emoji", layout=layout, languages=languages, cldr=cldr)
    say("data: stamps")
    prepare_stamps(data / "study" / "stamps", sources["stamps"], layout=layout)
    lexicons = {
        name: _freedict(data / "study" / f"{name}.lex", tuple(settings[name]["seen"]), sources["freedict"])
        for name in ("chosen_on", "tested_on")
    }

    def shards(*splits: str) -> list[str]:
        return [str(data / "study" / name / split) for split in splits for name in ("stamps", "emoji")]

    choosing = Stage(
        shards("train"),
        {SUITE: shards("val")},
        tuple(chosen_on["seen"]),
        tuple(chosen_on["unseen"]),
        (str(lexicons["chosen_on"]),),
        choosing=True,
    )
    comparing = Stage(
        shards("train", "val"),
        {SUITE: shards("test")},
        tuple(tested_on["seen"]),
        tuple(tested_on["unseen"]),
        (str(lexicons["tested_on"]),),
        choosing=False,
    )
    notes = [
        "`wiki_cs` switches FreeDict's phrases, those of several words first: no Wikipedia dump is at hand (`mmcs lexicon build wikititles`).",
        "How the recommended recipe was found, in other languages and on other concepts than are compared: [recipe.md](recipe.md).",
        "Stamps and emoji are small sets of drawings and cut-out pictures with short captions: what holds here need not hold for photographs. Run it on yours.",
        "Emoji names come from Unicode CLDR, lexicons from FreeDict: no lexicon was made out of the names.",
        "The weights by which FreeDict's candidates are ranked were once tuned on single-word captions of stamps in all splits: a "
        "possible, slight advantage of first candidates on those.",
    ]
    found = Material(choosing, comparing, notes=notes)
    if any(INVERTED in own.get("lexicons", {}).values() for own in (settings["ablations"] or {}).values()):
        _add_other_direction(found, data / "study" / "inverted", sources["freedict"])
    return found


def _freedict(path: Path, languages: tuple[str, ...], sources: Any) -> Path:
    """English to ``languages``, made where it is not there in a form that can be read."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.freedict import build_freedict

    try:
        if set(Lexicon.open(path).languages) == set(languages):
            return path
    except MmcsError:
        pass
    say(f"lexicon: FreeDict, English to {', '.join(languages)}")
    return build_freedict(path, languages, _listed(sources))


def _add_other_direction(material: Material, folder: Path, sources: Any) -> None:
    """FreeDict's dictionaries into English, turned round; and a note where some language has none."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.freedict import build_freedict
    from mmcs.lexicons.invert import invert_lexicon
    from mmcs.prepare.records import Tally

    made, without = [], []
    say("lexicon: FreeDict's other direction, turned round")
    for language in material.comparing.seen:
        path = folder / f"en-{language}.lex"
        try:
            Lexicon.open(path)
        except MmcsError:
            try:
                there = build_freedict(folder / f"{language}-en.lex", ["en"], _listed(sources), language)
                invert_lexicon(there, "en", path, Tally())
            except MmcsError:
                without.append(language)
                continue
        made.append(str(path))
    material.lexicons[INVERTED] = made
    if without and made:
        named = ", ".join(without)
        material.notes.append(
            f"FreeDict has no dictionary from {named} to English, so the lexicon of the other direction lacks it."
        )


def _listed(sources: Any) -> Sequence[str] | None:
    return None if sources is None else [str(sources)] if isinstance(sources, str) else list(map(str, sources))


def _own(plan: Plan, composed: Mapping[str, Any]) -> Material:
    """The user's shards and suites; the languages are those that lexicons and suites have."""
    lexicons = plan.settings["lexicons"]
    for key, given in (("eval.val", composed["eval"]["val"]), ("eval.test", composed["eval"]["test"])):
        if not given:
            raise UserError(f"a study of your own data needs {key}={{NAME: SHARDS}} (with eval=suites).")
    if not lexicons["tested_on"]:
        raise UserError("a study of your own data needs study.lexicons.tested_on=[FILE.lex].")
    tested = tuple(map(str, lexicons["tested_on"]))
    chosen = tuple(map(str, lexicons["chosen_on"] or tested))
    seen, unseen = _languages(composed, "test", tested, ())
    apart = (*seen, *unseen) if lexicons["chosen_on"] else ()
    chosen_seen, chosen_unseen = _languages(composed, "val", chosen, apart)
    train = composed["data"]["train_shards"]
    return Material(
        Stage(train, composed["eval"]["val"], chosen_seen, chosen_unseen, chosen, choosing=True),
        Stage(train, composed["eval"]["test"], seen, unseen, tested, choosing=False),
    )


def _languages(
    composed: Mapping[str, Any], split: str, lexicons: Sequence[str], without: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that ``lexicons`` have and others, among the languages of the suites; none of ``without`` among the others."""
    from mmcs.assemble import build_data
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.evaluation.suites import open_suites

    suites = open_suites(
        composed["eval"][split], split, composed["eval"]["languages"], build_data(dict(composed)).keywords["access"]
    )
    measured = dict.fromkeys(language for suite in suites for language in suite.languages)
    known = {language for path in lexicons for language in Lexicon.open(Path(path)).languages}
    seen = tuple(language for language in measured if language in known and language not in without)
    if not seen:
        raise UserError(
            f"no suite of eval.{split} has captions in a language of {', '.join(lexicons)} ({', '.join(sorted(known))})"
            + (f" that is not compared ({', '.join(without)})." if without else ".")
        )
    return seen, tuple(own for own in measured if own not in known and own not in without and own != "en")


def _add_translators(material: Material, folder: Path) -> None:
    """Lexicons into English for the seen languages: the stage's own, turned round."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.invert import invert_lexicon
    from mmcs.prepare.records import Tally

    for lexicon in material.comparing.lexicons:
        for language in Lexicon.open(Path(lexicon)).languages:
            path = folder / f"{language}-en.lex"
            if language in material.comparing.seen and path not in material.into_english:
                try:
                    Lexicon.open(path)
                except MmcsError:
                    invert_lexicon(lexicon, language, path, Tally())
                material.into_english.append(path)
