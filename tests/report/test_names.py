"""Languages are called by their English names; what is no language keeps its name."""

from __future__ import annotations

import pytest

from mmcs.report.names import language_name


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("cy", "Welsh"),
        ("zh-Hans", "Chinese (Simplified)"),
        ("pt-BR", "Portuguese (Brazil)"),
        ("quz", "Cusco Quechua"),
        ("mixed", "mixed"),
        ("xx", "xx"),
        ("non_english", "non_english"),
    ],
)
def test_a_language_is_called_by_its_english_name(tag, name):
    assert language_name(tag) == name
