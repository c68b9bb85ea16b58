"""Low-rank adapters (LoRA, Hu et al. 2021, section 4.1) on the modules of a tower, through peft; and their way back into
plain weights. ``build.py`` adds them, export and WiSE-FT merge them; which tower they are on is kept by ``Towers``.

Shapes: B batch, L tokens, D width of a layer, r rank.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmcs.errors import UserError

if TYPE_CHECKING:
    from mmcs.model.towers import Towers

# What the query and value projections are called (LoRA's own choice, section 4.2), or those that hold them together: in
# Hugging Face's and timm's models, and in open_clip's own, whose ``attn`` packs all four.
USUAL = (
    *("query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "q", "v"),
    *("qkv", "Wqkv", "query_key_value", "attn"),
)


class UnpackedAttention(nn.Module):
    """The self-attention of open_clip's own blocks, with the weights of ``nn.MultiheadAttention`` in two linear layers, which
    take adapters.

    (peft's own adapter for ``nn.MultiheadAttention`` adds its product to the weight before every forward and subtracts it
    after: frozen weights drift by rounding, and are other parameters each time, which neither DDP, nor recomputation, nor a
    checkpoint that leaves them out can do with.)
    """

    def __init__(self, packed: nn.MultiheadAttention) -> None:
        super().__init__()
        self.num_heads, self.dropout, self.batch_first = packed.num_heads, packed.dropout, packed.batch_first
        self.in_proj = _linear(packed.in_proj_weight, packed.in_proj_bias)
        self.out_proj = _linear(packed.out_proj.weight, packed.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """(B, L, D) → (B, L, D); first two axes swapped unless ``batch_first``. ``key`` and ``value`` are ``query``;
        ``attn_mask`` (L, L) or (B × heads, L, L) is added to the scores.
        """
        x = query if self.batch_first else query.transpose(0, 1)
        b, length, _ = x.shape
        q, k, v = (part.view(b, length, self.num_heads, -1).transpose(1, 2) for part in self.in_proj(x).chunk(3, -1))
        if attn_mask is not None:
            attn_mask = attn_mask.to(q.dtype)
            if attn_mask.ndim == 3:
                attn_mask = attn_mask.view(b, self.num_heads, length, length)
        dropout = self.dropout if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, dropout_p=dropout)
        x = self.out_proj(x.transpose(1, 2).reshape(b, length, -1))
        return (x if self.batch_first else x.transpose(0, 1)), None

    def pack(self) -> nn.MultiheadAttention:
        """The module that it was made of, with the weights as they are now."""
        width, bias = self.out_proj.in_features, self.in_proj.bias is not None
        packed = nn.MultiheadAttention(
            width, self.num_heads, self.dropout, bias, batch_first=self.batch_first, device="meta"
        )
        packed.in_proj_weight, packed.in_proj_bias = self.in_proj.weight, self.in_proj.bias  # type: ignore[assignment]
        packed.out_proj.weight, packed.out_proj.bias = self.out_proj.weight, self.out_proj.bias
        return packed.train(self.training)


def add_adapters(
    towers: Towers, modules: dict[str, bool | str | Sequence[str]], *, r: int, alpha: float, dropout: float
) -> None:
    """Puts adapters beside the chosen modules of the towers' trunks: only these are trained of what is adapted.

    They begin as nothing: embeddings are what they were. Draws from torch's global generator.

    Args:
        modules: per tower ("image", "text") True: the projections of its attention (``USUAL``); or names of modules as peft's
            ``target_modules`` takes them: a regular expression that matches whole names, or a list of endings.
        r: the rank. alpha: the product of the adapters is scaled by alpha / r. dropout: of what enters the adapters.

    Raises:
        UserError: peft is not installed, a value out of range, a choice that no module answers to.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError("model.lora needs peft: pip install 'mmcs[lora]'.") from None
    if not isinstance(r, int) or r < 1 or alpha <= 0 or not 0 <= dropout < 1:
        raise UserError(
            f"model.lora takes a rank r of 0 (none) or more, alpha above 0 and a dropout of at least 0 and below 1; got r={r}, "
            f"alpha={alpha}, dropout={dropout}."
        )
    names = [name for tower, chosen in modules.items() for name in _chosen(towers, tower, chosen)]
    names = [part for name in names for part in _unpacked(towers.clip, name)]
    trained = {name for name, parameter in towers.clip.named_parameters() if parameter.requires_grad}
    exactly = "|".join(re.escape(name) for name in names)
    inject_adapter_in_model(
        LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=exactly),  # type: ignore[arg-type]
        towers.clip,
    )
    for name, parameter in towers.clip.named_parameters():  # peft freezes all that is no adapter
        if name in trained:
            parameter.requires_grad_(True)
    towers.train(towers.training)


def merged(towers: Towers) -> Towers:
    """A copy of ``towers`` without adapters, what they do added to the weights beside them: a plain OpenCLIP model, with its
    names. ``towers`` themselves where they have none.
    """
    from mmcs.model.towers import Towers

    if not (towers.image_adapted or towers.text_adapted):
        return towers
    from peft.tuners.lora import LoraLayer

    clip = copy.deepcopy(towers.clip)
    for name, module in list(clip.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)
            _replace(clip, name, module.get_base_layer())
    for name, module in list(clip.named_modules()):
        if isinstance(module, UnpackedAttention):
            _replace(clip, name, module.pack())
    del clip.peft_config  # left there by peft
    return Towers(
        clip,
        towers.tokenizer,
        towers.config,
        image_dropout=towers.image_dropout,
        text_dropout=towers.text_dropout,
    ).train(towers.training)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight, linear.bias = weight, bias  # type: ignore[assignment]
    return linear


def _replace(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(root.get_submodule(parent), own, module)


def _unpacked(clip: nn.Module, name: str) -> Iterable[str]:
    """The names of the layers that adapters for the module ``name`` are added to: those that the model calls."""
    module = clip.get_submodule(name)
    if not isinstance(module, nn.MultiheadAttention):
        parent = clip.get_submodule(name.rpartition(".")[0])
        if hasattr(
            parent, "qkv_bias_separate"
        ):  # timm's EVA, BEiT and Swin v2 read the weight of qkv, unless this is set
            parent.qkv_bias_separate = True  # type: ignore[assignment]
        return [name]
    _replace(clip, name, UnpackedAttention(module))
    return [f"{name}.in_proj", f"{name}.out_proj"]


def _chosen(towers: Towers, tower: str, chosen: bool | str | Sequence[str]) -> list[str]:
    possible = [name for name in _adaptable(towers.clip) if towers.in_trunk(tower, name)]
    if isinstance(chosen, str):
        try:
            found = [name for name in possible if re.fullmatch(chosen, name)]
        except re.error as error:
            raise UserError(f"model.lora.{tower}={chosen} is no regular expression ({error}).") from None
    else:
        endings = USUAL if chosen is True else list(chosen)  # type: ignore[arg-type]
        found = [name for name in possible if any(f".{name}".endswith(f".{ending}") for ending in endings)]
    if not found:
        ends = sorted({re.sub(r"\d+", "N", name) for name in possible})
        shown = ", ".join(ends[:12]) + (", …" if len(ends) > 12 else "")
        what = "the usual attention projections" if chosen is True else f"{chosen!r}"
        raise UserError(
            f"model.lora.{tower}: {what} match no module of the {tower} tower of {towers.config.get('name')}; name some that it "
            f"has, by a list of endings or a regular expression (N a number): {shown}."
        )
    return found


def _adaptable(clip: nn.Module) -> Iterable[str]:
    """Names of the modules whose forward takes adapters."""
    from open_clip.modified_resnet import AttentionPool2d
    from open_clip.transformer import ResidualAttentionBlock
    from transformers.pytorch_utils import Conv1D

    passed_over: list[str] = []  # whose inner layers are never called, only their weights read
    for name, module in clip.named_modules():
        if name.startswith(tuple(passed_over)):
            continue
        parent: Any = clip.get_submodule(name.rpartition(".")[0])
        if isinstance(module, nn.MultiheadAttention | AttentionPool2d):
            passed_over.append(f"{name}.")
            if isinstance(parent, ResidualAttentionBlock) and not hasattr(parent, "ln_1_kv"):
                yield name
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding | Conv1D):
            yield name
