"""Controls: what is gained without lexical knowledge (METHOD: word drop). They wrap a strategy and look like one.

The shuffled lexicon is a file (``mmcs.lexicons.shuffle``), English twice a list of views: neither needs code here.
"""

from __future__ import annotations

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.strategy import Caption, Strategy, Switched


class WordDrop:
    """Drops the words that ``strategy`` would have replaced, each with the space before it (or after, at the start).

    Were nothing left, the caption stays whole: an empty text teaches nothing.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.languages, self.reads, self.constant = strategy.languages, strategy.reads, strategy.constant

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        switched = self.strategy(caption, draw)
        out = switched.parts.copy()
        if len(switched.languages()) >= switched.words:
            return Switched(switched.parts, out, [])
        for first, last, _ in switched.replacements:
            out[first : last + 1] = [""] * (last + 1 - first)
            if out[first - 1][-1:].isspace():
                out[first - 1] = out[first - 1][:-1]
            elif out[last + 1][:1].isspace():
                out[last + 1] = out[last + 1][1:]
        return Switched(switched.parts, out, switched.replacements)
