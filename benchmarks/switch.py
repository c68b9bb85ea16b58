"""Code-switching 12-word captions in 14 languages: ours against plain dictionaries and a Treebank-like split."""

from __future__ import annotations

import random
import re
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.timing import side_by_side
from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.lexicon import Lexicon
from mmcs.codeswitch.strategy import Caption
from mmcs.codeswitch.words import Multilingual
from mmcs.lexicons.format import write_lexicon

LANGUAGES = [f"l{i}" for i in range(14)]
# The regular expressions of the Penn Treebank convention that matter in captions (punctuation and contractions apart).
_TREEBANK = [
    (re.compile(p), r)
    for p, r in (
        (r"([;@#$%&?!,:])", r" \1 "),
        (r"([^\.])(\.)\s*$", r"\1 \2 "),
        (r"[\]\[\(\)\{\}\<\>]", r" \g<0> "),
        (r"--", " -- "),
        (r"([^' ])('s|'m|'d) ", r"\1 \2 "),
        (r"([^' ])('ll|'re|'ve|n't) ", r"\1 \2 "),
        (r"\"", " '' "),
    )
]


def measure() -> list[dict[str, Any]]:
    """The rows of this group."""
    generator = random.Random(0)
    words = ["".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=generator.randint(3, 9))) for _ in range(20_000)]
    dictionaries = {language: {word: word[::-1] for word in generator.sample(words, 10_000)} for language in LANGUAGES}
    captions = [" ".join(generator.choices(words, k=12)) + "." for _ in range(2_000)]
    with tempfile.TemporaryDirectory() as folder:
        entries = {language: {w: [(t, 1.0)] for w, t in table.items()} for language, table in dictionaries.items()}
        source = [{"name": "bench", "provenance": "made here", "licence": "CC0"}]
        write_lexicon(Path(folder) / "bench.lex", entries, source_language="en", sources=source)
        strategy = Multilingual(Lexicon.open(Path(folder) / "bench.lex"))

        def ours() -> None:
            for i, caption in enumerate(captions):
                strategy(Caption(caption, {}), Draw(0, 0, i))

        def study() -> None:
            for caption in captions:
                text = caption
                for pattern, replacement in _TREEBANK:
                    text = pattern.sub(replacement, text)
                out = []
                for token in text.split():
                    if random.random() < 0.5:
                        token = dictionaries[random.choice(LANGUAGES)].get(token.lower(), token)
                    out.append(token)
                " ".join(out)

        return [
            side_by_side(
                "switch_14_languages",
                ours,
                study,
                "the study's way: Treebank split, dictionaries",
                per=len(captions),
                unit="us",
            )
        ]
