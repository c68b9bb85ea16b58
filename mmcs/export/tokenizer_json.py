"""A model's tokeniser as one ``tokenizer.json`` that the ``tokenizers`` library reads, and how far it agrees.

Cleaning, truncation and padding are in the file, but for what guesses: ftfy's repair of texts decoded wrongly, and HTML
entities beyond the common ones. Called by the ONNX export alone.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from typing import Any

from mmcs.errors import UserError
from mmcs.model.towers import Towers

# Captions as people write them: they must get the model's own ids, or there is no export.
PROBES = [
    "a black cat in the snow",
    "It's the dog's  HOUSE, isn't it? 1234",
    "“quoted” and it’s a fire_engine",
    "a cat &amp; a dog\tand\nline",
    "Zwei Hunde spielen im Schnee.",
    "Un garçon mange une pêche à Nîmes",
    "El niño pequeño juega al fútbol",
    "Mo\u0323\u0302t con me\u0300o \u0111en tre\u0302n ma\u0301i nha\u0300",  # letters and marks apart
    "Küçük bir ağaç ve İSTANBUL",
    "красный зонт под дождём",
    "ΤΟ ΜΙΚΡΟ ΣΠΙΤΙ ΤΗΣ ΟΔΟΥ",
    "בית קטן על הגבעה",
    "بيت صغير على التل",
    "छोटा घर और दो पेड़",
    "একটি ছোট বাড়ি",
    "சிறிய வீடு",
    "บ้านหลังเล็กใต้ต้นไม้",
    "木の下の小さな家、ｶﾞﾗｽとＦＵＬＬ！",
    "山上的小房子，有两棵树。",
    "나무 아래 작은 집",
    "პატარა სახლი",
    "ትንሽ ቤት",
    "two dogs 🐕🐕 on a beach",
    "",
    " ".join(map(str, range(200))),
]
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&#39;": "'", "&nbsp;": " "}


def build(towers: Towers) -> Any:
    """A ``tokenizers.Tokenizer`` with truncation and padding that gives the ids that ``towers`` want.

    Short captions are filled up to the longest of a batch where the text tower masks its padding, else to the context length.

    Raises:
        UserError: the model's tokeniser has no form in this format, or one that gives other ids for ``PROBES``.
    """
    from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
    from tokenizers import Tokenizer, normalizers

    own = towers.tokenizer
    backend = getattr(getattr(own, "tokenizer", None), "backend_tokenizer", None)
    if backend is not None:
        towers.tokenise.reset()
        tokenizer = Tokenizer.from_str(backend.to_str())
    elif isinstance(own, SimpleTokenizer):
        tokenizer = _clip_bpe(own)
    else:
        raise UserError(f"the model's tokeniser ({type(own).__name__}) cannot be written as tokenizer.json.")
    steps = _cleaning(getattr(own, "clean_fn", get_clean_fn("canonicalize")))  # a SigLipTokenizer has none
    steps += [tokenizer.normalizer] if tokenizer.normalizer else []
    tokenizer.normalizer = normalizers.Sequence(steps)
    length, pad = own.context_length, towers.tokenise.pad_id
    tokenizer.enable_truncation(max_length=length)
    tokenizer.enable_padding(pad_id=pad, pad_token=tokenizer.id_to_token(pad), length=None if masks(towers) else length)
    if wrong := differing(tokenizer, towers, PROBES):
        raise UserError(
            f"the model's tokeniser cannot be written as tokenizer.json: {len(wrong)} of {len(PROBES)} captions get other ids, "
            f"such as {wrong[0][:40]!r}."
        )
    return tokenizer


def masks(towers: Towers) -> bool:
    """Whether the text tower masks its padding, so that captions of any length up to the context length may be given."""
    return towers.tokenise.trim


def differing(tokenizer: Any, towers: Towers, texts: list[str]) -> list[str]:
    """Those of ``texts`` that get other ids from ``tokenizer`` than from ``towers``."""
    return [text for text in texts if tokenizer.encode(text).ids != towers.tokenise.encode([text])[0].tolist()]


def _clip_bpe(own: Any) -> Any:
    """open_clip's ``SimpleTokenizer`` after its cleaning: CLIP's byte-pair encoding of words."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    start, end = (own.decoder[number] for number in (own.sot_token_id, own.eot_token_id))
    tokenizer = Tokenizer(models.BPE(vocab=own.encoder, merges=list(own.bpe_ranks), end_of_word_suffix="</w>"))
    tokenizer.add_special_tokens([own.decoder[number] for number in own.all_special_ids])
    words = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, own.sot_token_id), (end, own.eot_token_id)]
    )
    return tokenizer


def _cleaning(clean_fn: Any) -> list[Any]:
    """open_clip's ``clean_fn`` as normalisers: entities, then what ftfy does to every text (its own tables), white space, and
    where the function does so punctuation and case.
    """
    from ftfy.chardata import CONTROL_CHARS, DOUBLE_QUOTE_RE, LIGATURES, SINGLE_QUOTE_RE, WIDTH_MAP
    from open_clip.tokenizer import get_clean_fn
    from tokenizers import Regex, normalizers

    replacements = [*_ENTITIES.items(), *((chr(code), text) for code, text in {**LIGATURES, **WIDTH_MAP}.items())]
    steps: list[Any] = [normalizers.Replace(old, new) for old, new in replacements]
    steps += [normalizers.Replace(Regex(SINGLE_QUOTE_RE.pattern), "'")]
    steps += [normalizers.Replace(Regex(DOUBLE_QUOTE_RE.pattern), '"')]
    steps += [normalizers.Replace(_any_of(CONTROL_CHARS), ""), normalizers.NFC()]
    if clean_fn is get_clean_fn("canonicalize"):
        steps += [normalizers.Replace("_", " "), normalizers.Replace(_any_of(map(ord, string.punctuation)), "")]
    if clean_fn in (get_clean_fn("canonicalize"), get_clean_fn("lower")):
        # Python's lower case alone knows the sigma that ends a word.
        steps += [normalizers.Replace(Regex(r"(?<=\p{L})Σ(?!\p{L})"), "ς"), normalizers.Lowercase()]
    return [*steps, normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]


def _any_of(codes: Iterable[int]) -> Any:
    from tokenizers import Regex

    return Regex("[" + "".join(f"\\x{{{code:x}}}" for code in codes) + "]")
