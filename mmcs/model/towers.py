"""``Towers``: an OpenCLIP model split where its towers may be locked, so that what a locked trunk yields can be cached.

Which model that is, and where its weights come from, is decided in ``build.py``. Losses and the training step are in
``module.py``, which owns a ``Towers``; evaluation and export use it through ``checkpoint.py``.

Shapes: B batch, C H W image, L tokens, F trunk features, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcs.errors import UserError
from mmcs.model.embed import Batch, Embeddings, embed
from mmcs.model.identity import image_identity, text_identity
from mmcs.stream.tokenise import Tokenise


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes the tower's input: sizes in pixels, mean and std for values in 0..1."""

    size: tuple[int, int]  # height, width
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str  # "bicubic", "bilinear"
    resize_mode: str  # "shortest", "longest", "squash"
    fill_color: int = 0


class Towers(nn.Module):
    """An open_clip model whose towers are callable in two steps, trunk (lockable) and head.

    A trunk is ``visual.trunk`` of a timm tower, the transformer with its pooler of a Hugging Face text tower, and the
    whole tower, projection included, elsewhere: exactly what open_clip's own locking freezes. A locked trunk always
    stays in eval mode and runs without gradients; normalisation layers whose weights are frozen keep their statistics.
    A trunk with adapters (``lora.py``) is frozen but for these, and runs with gradients.

    Args:
        clip: the open_clip module, with ``visual.preprocess_cfg`` set, as ``open_clip.create_model`` leaves it.
        tokenizer: open_clip's.
        config: ``model_cfg`` and ``preprocess_cfg`` as in ``open_clip_config.json``, plus ``name``, ``pretrained``.
        image_dropout, text_dropout: share of features dropped before the heads, in training only.
    """

    def __init__(
        self,
        clip: nn.Module,
        tokenizer: Any,
        config: dict[str, Any],
        *,
        image_dropout: float = 0.0,
        text_dropout: float = 0.0,
    ) -> None:
        from open_clip.hf_model import HFTextEncoder
        from open_clip.timm_model import TimmModel

        super().__init__()
        self._mean: Tensor
        self._std: Tensor
        self.clip: Any = clip
        self.tokenizer = tokenizer
        self.config = config
        self.embed_dim = int(config["model_cfg"]["embed_dim"])
        self.image_dropout, self.text_dropout = image_dropout, text_dropout
        self.preprocess = _preprocess(clip.visual.preprocess_cfg)  # type: ignore[union-attr, arg-type]
        self._image_split = isinstance(clip.visual, TimmModel)
        self._text_split = isinstance(getattr(clip, "text", None), HFTextEncoder)
        self.tokenise = Tokenise(tokenizer, trim=self._text_split)
        self.image_locked = self.text_locked = False
        self.image_adapted = self.text_adapted = False
        self.compiles = False  # whether trunks are compiled, in training
        self.channels_last = True  # whether the image tower's convolutions run in the order in which pixels are decoded
        self._compiled: dict[str, Callable[[Tensor], Tensor]] = {}
        self._fingerprints: dict[str, str] = {}
        mean, std = torch.tensor(self.preprocess.mean), torch.tensor(self.preprocess.std)
        self.register_buffer("_mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", std.view(1, 3, 1, 1), persistent=False)

    @property
    def logit_scale(self) -> Tensor:
        """The logarithm of the inverse temperature, as open_clip keeps it (a parameter)."""
        return self.clip.logit_scale

    @property
    def logit_bias(self) -> Tensor | None:
        """SigLIP's bias, None where the model has none."""
        return getattr(self.clip, "logit_bias", None)

    def forward(self, batch: Batch) -> Embeddings:
        """All that a loss needs of a batch. In training everything passes through here: processes that share the towers'
        weights (FSDP2) meet in this one call.
        """
        return embed(self, batch)

    # --- embeddings -------------------------------------------------------------------------------------------------

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) → the tower's input, on the images' own device."""
        return (images.to(self._mean.dtype) / 255 - self._mean) / self._std

    def image_features(self, images: Tensor) -> Tensor:
        """uint8 images (B, 3, H, W) → trunk features (B, F)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.image_locked):
            pixels = self.normalise(images)
            return self._run("image", self._image_trunk_features, pixels if self.channels_last else pixels.contiguous())

    def text_features(self, tokens: Tensor) -> Tensor:
        """int64 tokens (B, L) → trunk features (B, F)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.text_locked):
            return self._run("text", self._text_trunk_features, tokens)

    def _image_trunk_features(self, pixels: Tensor) -> Tensor:
        return self.clip.visual.trunk(pixels) if self._image_split else self.clip.encode_image(pixels, normalize=False)

    def _text_trunk_features(self, tokens: Tensor) -> Tensor:
        if not self._text_split:
            return self.clip.encode_text(tokens, normalize=False)
        text = self.clip.text
        mask = (tokens != text.config.pad_token_id).long()
        return text.pooler(text.transformer(input_ids=tokens, attention_mask=mask), mask)

    def _run(self, tower: str, features: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        if self.compiles and self.training:  # in evaluation shapes are others; compiled beside the modules, names stay
            if tower not in self._compiled:
                self._compiled[tower] = torch.compile(features)
            features = self._compiled[tower]
        return features(inputs)

    def embed_image_features(self, features: Tensor) -> Tensor:
        """Trunk features (B, F) → L2-normalised embeddings (B, D): dropout in training, then the head."""
        features = F.dropout(features.to(self._mean.dtype), self.image_dropout, self.training)
        return _unit(self.clip.visual.head(features) if self._image_split else features)

    def embed_text_features(self, features: Tensor) -> Tensor:
        """Trunk features (B, F) → L2-normalised embeddings (B, D): dropout in training, then the projection."""
        features = F.dropout(features.to(self._mean.dtype), self.text_dropout, self.training)
        return _unit(self.clip.text.proj(features) if self._text_split else features)

    def embed_images(self, images: Tensor) -> Tensor:
        """uint8 images (B, 3, H, W) → (B, D); in eval mode open_clip's ``encode_image(…, normalize=True)``."""
        return self.embed_image_features(self.image_features(images))

    def embed_texts(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L) → (B, D); in eval mode open_clip's ``encode_text(…, normalize=True)``."""
        return self.embed_text_features(self.text_features(tokens))

    # --- locking ----------------------------------------------------------------------------------------------------

    def lock_image(self, unlocked_groups: int = 0) -> None:
        """Freezes the image trunk but for its last ``unlocked_groups`` groups (open_clip's ``lock_image_tower``)."""
        # freeze_bn_stats is not used: it drops the activation of timm's BatchNormAct2d; see ``train`` instead.
        _locking("image", lambda: self.clip.visual.lock(unlocked_groups=unlocked_groups))
        self.image_locked = unlocked_groups == 0
        self.train(self.training)

    def lock_text(self, unlocked_layers: int = 0) -> None:
        """Freezes the text trunk but for its last ``unlocked_layers`` layers (open_clip's ``lock_text_tower``)."""
        from open_clip.hf_configs import arch_dict

        # open_clip 3.3 has the widths of these, but not the names of their layers.
        for kind, layers, embeddings in (("bert", "layer", "embeddings"), ("m2m_100", "layers", "embed_tokens")):
            names = arch_dict[kind]["config_names"]
            names.setdefault("layer_attr", layers)
            names.setdefault("token_embeddings_attr", embeddings)
        tower = getattr(self.clip, "text", None)  # CoCa has the towers' locks, but none of its own
        lock = self.clip.lock_text_tower if tower is None else tower.lock
        _locking("text", lambda: lock(unlocked_layers=unlocked_layers))
        self.text_locked = unlocked_layers == 0
        self.train(self.training)

    def train(self, mode: bool = True) -> Towers:
        """Training mode for what is trained: locked trunks and frozen batch normalisation stay in eval mode."""
        super().train(mode)
        for trunk in self._locked_trunks():
            trunk.eval()
        adapted = [
            *(self._image_trunk() if self.image_adapted else []),
            *(self.text_trunk() if self.text_adapted else []),
        ]
        frozen = {module for trunk in adapted for module in trunk.modules()}
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module in frozen or _frozen(module)):
                module.eval()
        return self

    def _image_trunk(self) -> list[nn.Module]:
        return [self.clip.visual.trunk if self._image_split else self.clip.visual]

    def text_trunk(self) -> list[nn.Module]:
        """The modules that ``lock_text`` freezes."""
        if self._text_split:
            return [self.clip.text.transformer, self.clip.text.pooler]
        if hasattr(self.clip, "text"):
            return [self.clip.text]
        return [self.clip.transformer, self.clip.token_embedding, self.clip.ln_final]

    def _locked_trunks(self) -> Iterable[nn.Module]:
        return [
            *(self._image_trunk() if self.image_locked else []),
            *(self.text_trunk() if self.text_locked else []),
        ]

    def _is_text(self, name: str) -> bool:
        """Whether a tensor of ``clip``'s state belongs to the text trunk (open_clip's CLIP keeps it unpacked)."""
        if self._text_split:
            return name.startswith("text.transformer.")
        return not name.startswith(("visual.", "logit_", "text_decoder."))

    def _is_image(self, name: str) -> bool:
        return name.startswith("visual.trunk." if self._image_split else "visual.")

    def in_trunk(self, tower: str, name: str) -> bool:
        """Whether a tensor or module of ``clip`` belongs to the trunk of ``tower`` ("image", "text")."""
        return self._is_image(name) if tower == "image" else self._is_text(name)

    # --- state and identity -----------------------------------------------------------------------------------------

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """What training may change: every tensor of the state but those of wholly locked trunks, and of trunks with adapters
        only what is trained.
        """
        trained = {name for name, parameter in self.named_parameters(remove_duplicate=False) if parameter.requires_grad}
        towers = (("image", self.image_locked, self.image_adapted), ("text", self.text_locked, self.text_adapted))

        def left_out(name: str) -> bool:
            for tower, locked, adapted in towers:
                if (locked or adapted) and self.in_trunk(tower, name.removeprefix("clip.")):
                    return locked or name not in trained
            return False

        return {name: value for name, value in self.state_dict().items() if not left_out(name)}

    def load_trainable_state_dict(self, state: dict[str, Tensor]) -> None:
        """Loads what ``trainable_state_dict`` gave; every one of its names must be there, and no other."""
        expected = self.trainable_state_dict()
        if state.keys() != expected.keys():
            names = sorted(state.keys() ^ expected.keys())
            raise UserError(
                f"the weights do not belong to model {self.config.get('name')} locked as configured: "
                f"{len(names)} names differ, such as {', '.join(names[:3])}."
            )
        for name, value in state.items():
            if value.shape != expected[name].shape:
                raise UserError(f"weight {name} has shape {tuple(value.shape)}, not {tuple(expected[name].shape)}.")
        self.load_state_dict(state, strict=False)

    def image_fingerprint(self) -> str:
        """Hex digest of what decides image features: trunk weights (under adapters: as they were before), architecture,
        preprocessing.
        """
        return self._kept("image", self.image_locked or self.image_adapted)

    def text_fingerprint(self) -> str:
        """Hex digest of what decides text features: trunk weights (under adapters: as they were before), architecture,
        tokeniser, context length.
        """
        return self._kept("text", self.text_locked or self.text_adapted)

    def keep_fingerprint(self, tower: str) -> None:
        """Computes the fingerprint of a trunk ("image", "text") that is frozen from now on."""
        self._kept(tower, frozen=True)

    def _kept(self, tower: str, frozen: bool) -> str:
        compute = image_identity if tower == "image" else text_identity
        if not frozen:
            return compute(self)
        if tower not in self._fingerprints:  # hundreds of MB are hashed: a frozen trunk's once
            self._fingerprints[tower] = compute(self)
        return self._fingerprints[tower]


def _unit(features: Tensor) -> Tensor:
    """Of length 1 in at least float32: in half precision thousands of cosines would be ties."""
    return F.normalize(features.float() if features.dtype in (torch.bfloat16, torch.float16) else features, dim=-1)


def _preprocess(config: dict[str, Any]) -> Preprocess:
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    return Preprocess(
        size=(int(height), int(width)),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        resize_mode=config["resize_mode"],
        fill_color=int(config.get("fill_color", 0)),
    )


def _frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters(recurse=False))
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _locking(tower: str, lock: Any) -> None:
    import contextlib
    import io

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # open_clip prints how many layers it unlocks
            lock()
    except (AttributeError, KeyError, AssertionError, RuntimeError) as error:
        raise UserError(
            f"open_clip cannot lock the {tower} tower of this model as configured ({type(error).__name__}: {error})."
        ) from None
