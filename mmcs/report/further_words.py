"""What people read of settings beside plain retrieval: titles, what they mean, and what each row of their tables is."""

from __future__ import annotations

from mmcs.evaluation.ranking import IMAGE
from mmcs.report.further import Further
from mmcs.report.names import SETS, language_name

PROTOCOLS = {
    "all_captions": "every caption of an image counts",
    "first_caption": "of each image only its first caption in a language counts",
    "beir": "the relevant documents are listed for each query",
}
TITLES = {
    "mixed": "Languages mixed",
    "language_share": "Are some languages preferred?",
    "switched": "English captions with words switched",
    "translate_test": "Captions translated into English first",
    "beir": "Text search in BEIR’s format",
    "other": "Further settings",
}
MEANINGS = {
    "mixed": "Each caption stands in a language drawn at random, the same draw for every system.",
    "language_share": "Captions of all languages lie in one heap, a language drawn for each. How much of the first ten places goes "
    "to each language, beside its share of the heap: a system without a preference gives both alike.",
    "switched": "Words of English captions are replaced by translations, each with a probability p, and the captions ask for "
    "their images. Beside recall: how like the caption stays to the English one (cosine, at most 1).",
    "translate_test": "The caption is put into English by a dictionary or a program, and the English text asks for the image.",
    "beir": "The text tower alone looks for documents. A set brought by the user in this format is not a BEIR benchmark by that.",
    "other": "What else all or some of the runs were evaluated on.",
}
_SPOKEN = {"recall@10": "recall@10", "ndcg@10": "nDCG@10", "mrr@10": "MRR@10", "recall@100": "recall@100"}


def further_title(one: Further) -> str:
    """What a row is: the languages or texts asked about, and the metric where it is not recall@10 alone."""
    about = one.about
    metric = _SPOKEN.get(one.metric, one.metric.replace("_", " "))
    if one.kind == "language_share":
        return language_name(one.language)
    if one.kind == "mixed":
        return f"{_sides(one)}: {metric}"
    if one.kind == "switched":
        share = (about.query_transform or "").partition(":")[2]
        return f"p = {share}: {metric}"
    if one.kind == "translate_test":
        by = (about.query_transform or "").partition(":")[2]
        return f"{_language(one.language)}, by {by}: {metric}"
    if one.kind == "beir":
        return f"{about.suite} ({about.split}), {language_name(about.query_language)}: {metric}"
    return f"{_sides(one)}{f', {about.query_transform}' if about.query_transform else ''}: {metric}"


def further_group(one: Further) -> str:
    """The heading that a row shares with those about it; empty where a table has none."""
    return _sides(one) if one.kind == "language_share" else ""


def further_figure(one: Further, figure: tuple[float, float, float]) -> str:
    """A figure with its interval: shares in percent, a cosine as it is."""
    scale, digits = (1, 2) if one.metric.startswith("cosine") else (100, 1)
    value, low, high = (f"{round(scale * x, digits) + 0.0:.{digits}f}".replace("-", "−") for x in figure)
    return f"{value} [{low}, {high}]"


def _sides(one: Further) -> str:
    about = one.about
    asked, answers = (_side(language) for language in (about.query_language, about.gallery_language))
    return f"{asked} ask for {answers}"


def _side(language: str) -> str:
    if language == IMAGE:
        return "images"
    if language in SETS and language != "en":
        return f"captions in {SETS[language]}"
    return "mixed captions" if language == "mixed" else f"{language_name(language)} captions"


def _language(tag: str) -> str:
    return f"mean of {SETS[tag]}" if tag in SETS and tag != "en" else language_name(tag)
