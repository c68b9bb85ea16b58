"""What people read in place of the configuration's names: experiments, languages, tasks, sets of languages."""

from __future__ import annotations

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
LANGUAGES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fil": "Filipino",
    "fr": "French",
    "ga": "Irish",
    "gl": "Galician",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mi": "Maori",
    "mk": "Macedonian",
    "ms": "Malay",
    "nb": "Norwegian (Bokmål)",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "quz": "Quechua (Cusco)",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
    "zh-Hans": "Chinese (simplified)",
    "zh-Hant": "Chinese (traditional)",
}


def experiment_label(experiment: str) -> str:
    """The label of an experiment; a user's own one keeps its name, with spaces."""
    return EXPERIMENTS.get(experiment, experiment.replace("_", " "))


def language_name(tag: str) -> str:
    """The English name of a BCP 47 tag, or the tag itself."""
    return LANGUAGES.get(tag, tag)
