"""Captions to token ids: the batch stage ``Tokenise``, giving what open_clip's own tokeniser gives, faster.

Only ids are made here; which tokeniser belongs to a model is decided in ``mmcs.model.towers``, whose ``Towers`` carry
a ready ``tokenise``. Datamodules put it in their list of stages.
"""

from __future__ import annotations

import hashlib
import json
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Tokenise:
    """Batch stage: ``batch["texts"]`` (per view a list of B captions) → ``batch["tokens"]`` (per view int64 (B, L)).

    Args:
        tokenizer: open_clip's (``open_clip.get_tokenizer``).
        trim: leave out the columns that are padding in the whole batch. Right for Hugging Face text towers, whose
            pooling is masked; wrong for open_clip's own, which see the padding (``Towers.tokenise`` knows).

    Attributes:
        pad_id: the id that fills up short captions, for whoever joins batches of different L.
    """

    def __init__(self, tokenizer: Any, trim: bool = False) -> None:
        self.tokenizer = tokenizer
        self.pad_id = _pad_id(tokenizer)
        self._backend = _fast_backend(tokenizer)
        self._words = _Words(tokenizer) if _is_plain(tokenizer) else None
        self.trim = trim and self._backend is not None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["tokens"] = [self.encode(texts) for texts in batch["texts"]]
        return batch

    def encode(self, texts: list[str]) -> Tensor:
        """int64 (B, L) ids of B captions; L is the context length, or the longest caption's where trimmed."""
        if self._words is not None:
            return self._words(texts)
        if self._backend is None:
            return self.tokenizer(texts)
        length = self.tokenizer.context_length
        # Set on every call: transformers changes both on the same object whenever its own call is used.
        self._backend.enable_truncation(max_length=length)
        self._backend.no_padding()
        encoded = self._backend.encode_batch_fast([clean(text) for text in texts])
        lengths = np.fromiter((len(one) for one in encoded), np.int64, len(texts))
        width = max(int(lengths.max(initial=0)), 1) if self.trim else length
        tokens = np.full((len(texts), width), self.pad_id, np.int64)
        flat = np.fromiter((i for one in encoded for i in one.ids), np.int64, int(lengths.sum()))
        tokens[np.arange(width) < lengths[:, None]] = flat
        return torch.from_numpy(tokens)

    def lengths(self, texts: list[str]) -> list[int]:
        """How many ids each text has before any is cut off, the special ones among them; beyond
        ``tokenizer.context_length`` the tower does not see the end of it.
        """
        if self._words is not None:
            return [len(self._words.ids(text)) + 1 for text in texts]
        if self._backend is not None:
            self.reset()
            return [len(one) for one in self._backend.encode_batch_fast([clean(text) for text in texts])]
        inner = getattr(self.tokenizer, "tokenizer", None)
        if inner is None:  # a SimpleTokenizer that cleans or shortens in its own way
            return [len(self.tokenizer.encode(text)) + 2 for text in texts]
        from open_clip.tokenizer import get_clean_fn

        clean_fn = getattr(self.tokenizer, "clean_fn", get_clean_fn("canonicalize"))  # a SigLipTokenizer has none
        cleaned = [clean_fn(text) for text in texts]
        added = 3 * (
            getattr(self.tokenizer, "tokenizer_mode", "") == "clips"
        )  # begin, end, class: open_clip's own doing
        found = inner(cleaned, add_special_tokens=not added, padding=False, truncation=False, verbose=False)
        return [len(ids) + added for ids in found["input_ids"]]

    def reset(self) -> None:
        """Forgets the truncation and padding that earlier calls left in the tokeniser, so that it can be written."""
        backend = getattr(getattr(self.tokenizer, "tokenizer", None), "backend_tokenizer", None)
        if backend is not None:
            backend.no_truncation()
            backend.no_padding()

    def fingerprint(self) -> str:
        """Hex digest of everything that decides which ids a caption gets."""
        kind = type(self.tokenizer).__name__
        if hasattr(self.tokenizer, "tokenizer"):
            inner = self.tokenizer.tokenizer
            backend = getattr(inner, "backend_tokenizer", None)
            if backend is not None:
                self.reset()
                content = backend.to_str()
            else:
                content = json.dumps(sorted(inner.get_vocab().items()), ensure_ascii=False)
        else:
            content = json.dumps(sorted(self.tokenizer.encoder.items()), ensure_ascii=False)
        settings = [kind, getattr(self.tokenizer, "tokenizer_mode", ""), _clean_name(self.tokenizer)]
        settings += [str(self.tokenizer.context_length), str(self.pad_id)]
        settings += [str(getattr(self.tokenizer, "strip_sep_token", False))]
        return hashlib.blake2b("\n".join([*settings, content]).encode(), digest_size=16).hexdigest()


class _Words:
    """open_clip's ``SimpleTokenizer`` with the ids of every word kept: captions are made of the same words.

    None of its tokens holds white space, and cleaning leaves single spaces: a caption's ids are its words' ids.
    """

    _MOST = 200_000  # words kept at a time: some 50 MB
    _LONGEST = 64  # letters; longer ones hardly come again

    def __init__(self, tokenizer: Any) -> None:
        self._own = copy(tokenizer)
        self._own.clean_fn = str  # what it gets is clean
        self._special = {token: token for token in _special_tokens(tokenizer)}
        self._own.cache = dict(self._special)
        self._ids: dict[str, list[int]] = {}

    def __call__(self, texts: list[str]) -> Tensor:
        length = self._own.context_length
        tokens = np.zeros((len(texts), length), np.int64)
        for row, text in zip(tokens, texts, strict=True):
            ids = self.ids(text)
            del ids[length - 1 :]
            ids.append(self._own.eot_token_id)
            row[: len(ids)] = ids
        return torch.from_numpy(tokens)

    def ids(self, text: str) -> list[int]:
        """The ids of a text of any length, from the one that begins it to its last word's."""
        known = self._ids
        ids = [self._own.sot_token_id]
        for word in clean(text).lower().split(" "):
            ids += known[word] if word in known else self._learn(word)
        return ids

    def _learn(self, word: str) -> list[int]:
        ids = self._own.encode(word)
        if len(self._ids) >= self._MOST:
            self._ids.clear()
        if len(word) <= self._LONGEST:
            self._ids[word] = ids
        if len(self._own.cache) >= self._MOST:  # open_clip lets it grow for ever
            self._own.cache = dict(self._special)
        return ids


def tokenise(tokenizer: Any, texts: list[str], trim: bool = False) -> Tensor:
    """int64 (B, L) ids of B captions: ``Tokenise(tokenizer, trim).encode(texts)`` for a single call."""
    return Tokenise(tokenizer, trim).encode(texts)


def clean(text: str) -> str:
    """What open_clip's ``whitespace`` cleaning makes of a caption; plain ASCII skips the dear repair of encodings."""
    if text.isascii() and text.isprintable() and "&" not in text:
        return " ".join(text.split())
    from open_clip.tokenizer import get_clean_fn

    return get_clean_fn("whitespace")(text)


def _clean_name(tokenizer: Any) -> str:
    return getattr(getattr(tokenizer, "clean_fn", None), "__name__", "")


def _pad_id(tokenizer: Any) -> int:
    inner = getattr(tokenizer, "tokenizer", None)
    return int(inner.pad_token_id) if inner is not None else 0  # SimpleTokenizer fills with zeros


def _special_tokens(tokenizer: Any) -> list[str]:
    return [tokenizer.decoder[number] for number in tokenizer.all_special_ids]


def _is_plain(tokenizer: Any) -> bool:
    """Whether it is open_clip's ``SimpleTokenizer`` as models are published with it."""
    from open_clip.tokenizer import SimpleTokenizer, get_clean_fn

    if type(tokenizer) is not SimpleTokenizer or tokenizer.reduction_fn or not tokenizer.context_length:
        return False
    blanks = any(letter.isspace() for token in _special_tokens(tokenizer) for letter in token)
    return tokenizer.clean_fn is get_clean_fn("lower") and not blanks


def _fast_backend(tokenizer: Any) -> Any | None:
    """The Rust tokeniser behind an ordinary ``HFTokenizer``; None where only open_clip's own call is certain."""
    from open_clip.tokenizer import HFTokenizer, get_clean_fn

    if not isinstance(tokenizer, HFTokenizer) or tokenizer.tokenizer_mode or tokenizer.strip_sep_token:
        return None
    if tokenizer.clean_fn is not get_clean_fn("whitespace") or tokenizer.tokenizer.padding_side != "right":
        return None
    if getattr(tokenizer.tokenizer, "truncation_side", "right") != "right":
        return None
    return getattr(tokenizer.tokenizer, "backend_tokenizer", None)
