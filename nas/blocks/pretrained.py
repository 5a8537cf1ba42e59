"""A pretrained sentence encoder that stays as it is, where the package `transformers` is installed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nas.blocks.features import FAR, Features, Pool, masked
from nas.blocks.input import Input
from nas.blocks.steps import Pooling
from nas.blocks.text import token_ids, vocabulary_of
from nas.blocks.widths import projections
from nas.errors import BlockError


@dataclass(frozen=True)
class Pretrained:
    """Token ids of a pretrained model's own tokenizer, read by it; only what follows it is trained.

    Its weights count as parameters and are part of the exported file. It needs `pip install 'nas[text]'`.

    Attributes:
        name: A folder, or a model of the hub that is already on the machine or can be fetched, for example
            `sentence-transformers/all-MiniLM-L6-v2`; read from safetensors only.
        layers: How many of its layers are used, the first ones; 0 for all.
        pool: `none` hands tokens to the fusion; `mean`, `max` and `attention` pool them.
    """

    name: str
    layers: int = 0
    pool: Pooling = "mean"

    def build(self, given: Input) -> nn.Module:
        """Build for token ids `(b, t)`, 0 being padding.

        Raises:
            BlockError: If the input is not text, the package or the model is missing, or they do not fit each other.
        """
        vocabulary = vocabulary_of("Pretrained", given)
        model = _load(self.name, self.layers)
        config = model.config
        if (
            config.pad_token_id != 0
            or vocabulary > config.vocab_size
            or given.shape[0] > config.max_position_embeddings
        ):
            raise BlockError(
                f"Pretrained: {self.name} has {config.vocab_size} token ids, padding {config.pad_token_id} and at most "
                f"{config.max_position_embeddings} tokens; expected at least {vocabulary}, padding 0 and at least "
                f"{given.shape[0]} tokens."
            )
        return PretrainedEncoder(model, vocabulary, self.pool)


class PretrainedEncoder(nn.Module):
    """The module of `Pretrained`; the model in it is frozen and always in evaluation mode."""

    def __init__(self, model: nn.Module, vocabulary: int, pool: str) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.last = vocabulary - 1
        self.pool = None if pool == "none" else Pool(pool, model.config.hidden_size)  # pyright: ignore

    def train(self, mode: bool = True) -> PretrainedEncoder:
        """Put all but the model into a mode."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, x: Tensor) -> Features:
        """Map `(b, t)` to features of the tokens, or of the sentence."""
        ids, mask = token_ids(x, self.last)
        let = torch.where(mask.unsqueeze(1).unsqueeze(1), 0.0, FAR)  # as a finished mask, nothing looks at its values
        states = self.model(input_ids=ids, attention_mask=let).last_hidden_state
        found = masked(states.transpose(1, 2), mask)
        return found if self.pool is None else Features(self.pool(found))

    def unprunable(self) -> list[nn.Module]:
        """All of it: its weights are not trained, so what is cut could not be made up for."""
        return projections(self)


def _load(name: str, layers: int) -> Any:
    """A model with its weights, or on the meta device without them."""
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError:
        raise BlockError("Pretrained: needs the package transformers.", "pip install 'nas[text]'") from None
    with _quiet():
        try:
            config = AutoConfig.from_pretrained(name)
            config.num_hidden_layers, deepest = layers or config.num_hidden_layers, config.num_hidden_layers
            if torch.empty(0).is_meta:
                model = AutoModel.from_config(config, attn_implementation="eager")
            else:
                model = AutoModel.from_pretrained(
                    name, config=config, use_safetensors=True, attn_implementation="eager"
                )
        except (OSError, ValueError) as error:
            raise BlockError(
                f"Pretrained: {name} cannot be loaded: {str(error).strip().splitlines()[0]}",
                "Name a folder that holds config.json and model.safetensors, or a model of the hub.",
            ) from error
    if not 0 <= layers <= deepest:
        raise BlockError(f"Pretrained.layers: {layers}; expected 0 to {deepest}.")
    if hasattr(model, "pooler"):
        model.pooler = None  # reads the first token only, and nothing here reads it
    return model


@contextmanager
def _quiet() -> Generator[None]:
    """Keep the package from telling which weights it left out, and how far it is."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
