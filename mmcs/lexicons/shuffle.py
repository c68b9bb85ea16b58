"""A lexicon with wrong partners: the same phrases and the same candidates, paired anew. The control of the study.

What a model gains with it, it gains without lexical knowledge. ``mmcs lexicon shuffle`` and ``codeswitch.control`` call it.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcs.codeswitch.lexicon import Lexicon, Ranked
from mmcs.errors import DataError, UserError
from mmcs.files import cache_folder
from mmcs.lexicons.format import write_lexicon

METHOD = 1  # raised when the same seed would give other partners: cached copies carry it in their name
_TRIES = 64


def shuffle_lexicon(path: str | os.PathLike[str], out: str | os.PathLike[str], seed: int = 0) -> Path:
    """Writes a copy of ``path`` in which every phrase has the candidates of another phrase with as many words.

    Per language a permutation of its candidate lists, drawn from ``seed``. The phrases stay, so a strategy switches the
    same positions at the same rate. A phrase keeps a candidate of its own only where no exchange avoids it.

    Raises:
        UserError: ``out`` is the file itself, or there is no ``path``. DataError: ``path`` cannot be read.
    """
    lexicon = Lexicon.open(path)
    if Path(out).exists() and Path(out).samefile(lexicon.path):
        raise UserError(f"{out} is the lexicon itself; write the shuffled copy to another file.")
    entries = {
        language: shuffled(dict(lexicon.items(language)), f"{seed}/{language}") for language in lexicon.languages
    }
    note = f"partners shuffled with seed {seed}: a control, not a dictionary"
    sources = [
        {
            **source,
            "provenance": f"{source['provenance']} ({note})",
            "shuffled": {"seed": seed, "of": lexicon.header["checksum"]},
        }
        for source in lexicon.header["sources"]
    ]
    return write_lexicon(out, entries, source_language=lexicon.source_language, sources=sources)


def shuffled_copy(path: str | os.PathLike[str], seed: int) -> Path:
    """The shuffled copy of ``path`` in the cache folder, made if it is not there yet."""
    checksum = Lexicon.open(path).header["checksum"]
    out = cache_folder() / "lexicons" / f"shuffled-{METHOD}-{checksum[:32]}-{seed}.lex"
    try:
        Lexicon.open(out)
    except (UserError, DataError):
        shuffle_lexicon(path, out, seed)
    return out


def shuffled(candidates: Mapping[str, Ranked], key: str) -> dict[str, Ranked]:
    """A permutation of ``candidates`` over its phrases, drawn from ``key``, among phrases with as many words."""
    groups: dict[int, list[str]] = defaultdict(list)
    for phrase in sorted(candidates):
        groups[phrase.count(" ")].append(phrase)
    alone = [phrase for group in groups.values() if len(group) == 1 for phrase in group]
    rings = [groups[words] for words in sorted(groups) if len(groups[words]) > 1]
    if alone and rings:
        rings[0] = rings[0] + alone
    elif alone:
        rings = [alone]
    return {phrase: found for ring in rings for phrase, found in _exchange(ring, candidates, key).items()}


def _exchange(ring: Sequence[str], candidates: Mapping[str, Ranked], key: str) -> dict[str, Ranked]:
    """Each phrase gets the list of the next in a drawn order; who would get a word of its own swaps with another."""
    order = sorted(ring, key=lambda phrase: hashlib.blake2b(f"{key}/{phrase}".encode(), digest_size=16).digest())
    texts = {phrase: {candidate.text.casefold() for candidate in candidates[phrase]} for phrase in order}
    partner = order[1:] + order[:1]

    def clash(i: int, j: int) -> bool:
        return order[i] == partner[j] or not texts[order[i]].isdisjoint(texts[partner[j]])

    for i in range(len(order)):
        if clash(i, i):
            for step in range(1, min(_TRIES, len(order))):
                j = (i + step) % len(order)
                if not clash(i, j) and not clash(j, i):
                    partner[i], partner[j] = partner[j], partner[i]
                    break
    return {phrase: candidates[source] for phrase, source in zip(order, partner, strict=True)}
