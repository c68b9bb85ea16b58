"""A model's tokeniser as one ``tokenizer.json`` that the ``tokenizers`` library reads, and how far it agrees.

Truncation and padding are in the file. open_clip repairs encodings and HTML before it tokenises, which the format cannot
express: ``differing`` counts where that shows. Called by the ONNX export alone.
"""

from __future__ import annotations

from typing import Any

from mmcs.errors import UserError
from mmcs.model.towers import Towers

# Captions as people write them: they must get the model's own ids, or there is no export.
PLAIN = [
    "a black cat in the snow",
    "It's the dog's  HOUSE, isn't it? 1234",
    "Zwei Hunde spielen im Schnee.",
    "Un garçon mange une pêche à Nîmes",
    "El niño pequeño juega al fútbol",
    "Một con mèo đen trên mái nhà",
    "Küçük bir ağaç ve iki kuş",
    "красный зонт под дождём",
    "Το μικρό σπίτι στο βουνό",
    "בית קטן על הגבעה",
    "بيت صغير على التل",
    "छोटा घर और दो पेड़",
    "একটি ছোট বাড়ি",
    "சிறிய வீடு",
    "บ้านหลังเล็กใต้ต้นไม้",
    "木の下の小さな家",
    "山上的小房子",
    "나무 아래 작은 집",
    "პატარა სახლი",
    "ትንሽ ቤት",
    "two dogs 🐕🐕 on a beach",
    "",
    "word " * 200,
]
# What a repair of encodings, HTML or a language's own lower case changes: said on the card, no reason to refuse.
ODD = [
    "a cat &amp; a dog",
    "“quoted” and it’s",
    "ＦＵＬＬ width",
    "ΔΥΟ ΣΚΥΛΟΣ ΑΣ",
    "İSTANBUL",
    "cafÃ©",
    "tab\tand\nline",
]


def build(towers: Towers) -> Any:
    """A ``tokenizers.Tokenizer`` with truncation and padding that gives the ids that ``towers`` want.

    Short captions are filled up to the longest of a batch where the text tower masks its padding, else to the context length.

    Raises:
        UserError: the model's tokeniser has no form in this format, or one that gives other ids for plain captions.
    """
    from open_clip.tokenizer import SimpleTokenizer
    from tokenizers import Tokenizer

    own = towers.tokenizer
    backend = getattr(getattr(own, "tokenizer", None), "backend_tokenizer", None)
    length = towers.tokenizer.context_length
    if backend is not None:
        towers.tokenise.reset()
        tokenizer = _spaced(Tokenizer.from_str(backend.to_str()))
    elif isinstance(own, SimpleTokenizer):
        tokenizer = _clip_bpe(own)
    else:
        raise UserError(f"the model's tokeniser ({type(own).__name__}) cannot be written as tokenizer.json.")
    pad = towers.tokenise.pad_id
    tokenizer.enable_truncation(max_length=length)
    tokenizer.enable_padding(pad_id=pad, pad_token=tokenizer.id_to_token(pad), length=None if masks(towers) else length)
    if wrong := differing(tokenizer, towers, PLAIN):
        raise UserError(
            f"the model's tokeniser cannot be written as tokenizer.json: {len(wrong)} of {len(PLAIN)} plain captions get "
            f"other ids, such as {wrong[0][:40]!r}."
        )
    return tokenizer


def masks(towers: Towers) -> bool:
    """Whether the text tower masks its padding, so that captions of any length up to the context length may be given."""
    return towers.tokenise.trim


def differing(tokenizer: Any, towers: Towers, texts: list[str]) -> list[str]:
    """Those of ``texts`` that get other ids from ``tokenizer`` than from ``towers``."""
    return [text for text in texts if tokenizer.encode(text).ids != towers.tokenise.encode([text])[0].tolist()]


def _spaced(tokenizer: Any) -> Any:
    """With runs of white space made one space, as open_clip cleans captions first."""
    from tokenizers import Regex, normalizers

    steps = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence([*steps, *([tokenizer.normalizer] if tokenizer.normalizer else [])])
    return tokenizer


def _clip_bpe(own: Any) -> Any:
    """open_clip's ``SimpleTokenizer``: CLIP's byte-pair encoding over words, letters in lower case."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    start, end = (own.decoder[number] for number in (own.sot_token_id, own.eot_token_id))
    tokenizer = Tokenizer(models.BPE(vocab=own.encoder, merges=list(own.bpe_ranks), end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, own.sot_token_id), (end, own.eot_token_id)]
    )
    return _spaced(tokenizer)
