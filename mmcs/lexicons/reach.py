"""Counts the phrases of a lexicon that no caption can hold: ``mmcs lexicon build`` and ``info`` show them.

Whether a phrase can be found, ``mmcs.codeswitch.matching`` decides, as for captions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmcs.codeswitch.lexicon import Lexicon
from mmcs.codeswitch.matching import reachable
from mmcs.prepare.records import Tally


def unreachable(lexicon: Lexicon) -> Tally:
    """The phrases of a lexicon that never match, by cause, with examples."""
    from mmcs.progress import track

    tally = Tally()
    for phrase in track(lexicon.phrases(), "Testing phrases", len(lexicon)):
        if not phrase.isalpha() and not reachable(phrase, lexicon.source_language):
            tally.add(_cause(phrase), phrase[:80])
    return tally


def sentences(causes: Mapping[str, Any], total: int) -> Iterator[str]:
    """What ``unreachable`` found among ``total`` phrases (as ``Tally.as_dict`` gives it), for people."""
    for cause, about in causes.items():
        examples = "; ".join(about["examples"][:3])
        yield f"{about['count']:,} of {total:,} phrases can never match a caption: {cause} (e.g. {examples})"


def _cause(phrase: str) -> str:
    """Why a phrase never matches."""
    if not any(map(str.isalnum, phrase)):
        return "no word in it"
    if not phrase[0].isalnum():
        return "punctuation before its first word"
    if not phrase[-1].isalnum():
        return "punctuation behind its last word"
    return "an address, a name or a tag in it"
