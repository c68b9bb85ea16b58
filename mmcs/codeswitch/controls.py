"""Controls: what is gained without lexical knowledge (METHOD: word drop). They wrap a strategy and look like one.

The shuffled lexicon is a file (``mmcs.lexicons.shuffle``), English twice a list of views: neither needs code here.
"""

from __future__ import annotations

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.strategy import Caption, Replacement, Strategy, Switched, render


class WordDrop:
    """Drops the words that ``strategy`` would have replaced, each with the space before it (or after, at the start).

    Were nothing left, the caption stays whole: an empty text teaches nothing.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.languages, self.reads = strategy.languages, strategy.reads

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        switched = self.strategy(caption, draw)
        text = switched.original
        if len(switched.replacements) == switched.words:
            return switched._replace(text=text, replacements=())
        dropped: list[Replacement] = []
        at = 0  # nothing before this is left to drop
        for start, end, _, language in switched.replacements:
            if start > at and text[start - 1].isspace():
                start -= 1
            elif text[end : end + 1].isspace():
                end += 1
            at = end
            dropped.append(Replacement(start, end, "", language))
        return switched._replace(text=render(text, dropped), replacements=tuple(dropped))
