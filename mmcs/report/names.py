"""What people read in place of the configuration's names: experiments, languages, tasks, sets of languages."""

from __future__ import annotations

import functools

EXPERIMENTS = {
    "untouched": "untouched (no fine-tuning)",
    "zero_shot": "English only",
    "bl_cs": "one language switched in",
    "ml_cs": "many languages switched in",
    "wiki_cs": "Wikipedia phrases switched in",
    "two_view": "two views",
    "translate_train": "translations",
    "two_view_translate": "two views, translations (upper bound)",
    "shuffled_lexicon": "two views, shuffled lexicon (control)",
    "word_drop": "two views, words dropped (control)",
    "english_twice": "English twice (control)",
    "recommended": "recommended recipe",
}
UNTRAINED = "untouched"
BASELINE = "zero_shot"
CONTROLS = ("shuffled_lexicon", "word_drop", "english_twice")
UPPER_BOUNDS = ("translate_train", "two_view_translate")

SETS = {
    "seen": "languages with a lexicon",
    "unseen": "languages without a lexicon",
    "non_english": "languages other than English",
    "en": "English",
}
TASKS = {
    "image_retrieval": "Image retrieval: a caption asks for its image",
    "text_retrieval": "Text retrieval: an image asks for one of its captions",
}


def experiment_label(experiment: str) -> str:
    """The label of an experiment; a user's own one keeps its name, with spaces."""
    return EXPERIMENTS.get(experiment, experiment.replace("_", " "))


@functools.cache
def language_name(tag: str) -> str:
    """The English name of a BCP 47 tag (Unicode CLDR's), or the tag itself."""
    import langcodes  # not before a name is needed: its table takes a moment to load

    try:
        language = langcodes.Language.get(tag)
    except langcodes.LanguageTagError:
        return tag
    return language.display_name() if language.is_valid() else tag
