"""One spelling per language, whatever a file calls it."""

import pytest

from mmcs.common.language_tags import find_language, language_tag, languages_of
from mmcs.errors import UserError


@pytest.mark.parametrize(
    ("spellings", "tag"),
    [
        ("de DE de-DE de_DE De de_DE.UTF-8 deu ger deu_Latn", "de"),
        ("en EN en-US en_GB eng en-AU en_US.utf8", "en"),
        ("he iw he-IL iw_IL", "he"),
        ("zh zh_CN zh-Hans zh-CN zh-Hans-CN cmn zh_SG zho_Hans", "zh-Hans"),
        ("zh_TW zh-Hant zh-HK zh-Hant-TW zho_Hant", "zh-Hant"),
        ("pt-BR pt_BR pt-br PT_br", "pt-BR"),
        ("pt", "pt"),
        ("sr sr_RS sr-Cyrl", "sr"),
        ("sr@latin sr-Latn sh", "sr-Latn"),
        ("ca@valencia", "ca-valencia"),
        ("es-419", "es-419"),
        ("de-AT de_AT", "de-AT"),
        ("fil tl fil-PH", "fil"),
        ("ar arb ar-EG arb_Arab", "ar"),
        ("sw swh swh_Latn", "sw"),
        ("quz", "quz"),
        ("hi hi_IN", "hi"),
    ],
)
def test_all_spellings_of_a_language_become_one_tag(spellings, tag):
    assert {language_tag(spelling) for spelling in spellings.split()} == {tag}


@pytest.mark.parametrize("tag", ["de", "zh-Hans", "zh-Hant", "pt-BR", "sr-Latn", "es-419", "ca-valencia", "uz-Cyrl"])
def test_a_canonical_tag_stays_as_it_is(tag):
    assert language_tag(tag) == tag


@pytest.mark.parametrize(
    "text", ["", "german", "blip2", "original", "qq", "de-QQ-x", "is OK", "d", "de-", "../de", "caption_de"]
)
def test_what_is_no_language_is_refused(text):
    with pytest.raises(UserError, match="not a language tag"):
        language_tag(text)


def test_a_variant_falls_back_unless_its_language_or_another_variant_is_there():
    assert languages_of(["de-AT", "en"]) == {"de-AT": "de", "en": "en"}
    assert languages_of(["de-AT", "de"]) == {"de-AT": "de-AT", "de": "de"}
    assert languages_of(["pt-PT", "pt-BR"]) == {"pt-PT": "pt-PT", "pt-BR": "pt-BR"}
    assert languages_of(["zh-Hans", "zh-Hant"]) == {"zh-Hans": "zh-Hans", "zh-Hant": "zh-Hant"}


@pytest.mark.parametrize(
    ("wanted", "available", "found"),
    [
        ("de", ["de", "de-AT"], "de"),
        ("de-CH", ["de", "de-AT"], "de"),
        ("de", ["de-AT", "de-CH"], None),
        ("no", ["nb"], "nb"),
        ("zh-Hant", ["zh-Hans"], None),
    ],
)
def test_a_wanted_language_is_found_through_its_region(wanted, available, found):
    assert find_language(wanted, available) == found
