"""The paper's caption tower: RoBERTa-base (Liu et al. 2019) through transformers."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer, RobertaModel

from trainer.errors import WeightsError
from trainer.libraries import first_line
from trainer.model.pretrained import configuration, origin, quiet_transformers, refuse
from trainer.model.reduction import HiddenStateReduction, check_pool, pool_states
from trainer.model.towers import VERSIONS

HOW_TO_GET = "name a folder that holds config.json, model.safetensors and the tokenizer's files"
# transformers loads weights of any model with these tensor names, also BERT's with its different positions, and only logs a warning.
_SAME_FORWARD = ("roberta", "xlm-roberta", "camembert")
# Configuration keys that change the forward pass without changing names or shapes of tensors.
_CONFIGURATION = ("hidden_act", "layer_norm_eps", "num_attention_heads", "pad_token_id", "is_decoder")
_ENCODER = re.compile(r"(roberta\.)?(encoder|embeddings)\.")


class RobertaTextTower(nn.Module):
    """Captions to embeddings.

    Args:
        source: a hub name such as "FacebookAI/roberta-base", or a folder.
        pool: "first" (the paper: the vector of <s> of each hidden state) or "mean" over the caption's tokens.
        max_tokens: longer captions are truncated; at least 2.

    Raises:
        WeightsError: weights or tokenizer are not available or of another model, or tensors are missing or left over.
    """

    version = VERSIONS["text", "roberta"]
    published = True
    feature_dtype = torch.float16

    def __init__(self, source: str = "FacebookAI/roberta-base", pool: str = "first", max_tokens: int = 128) -> None:
        super().__init__()
        self._pool, self._max_tokens = check_pool(pool), max_tokens
        path = str(Path(source).expanduser()) if Path(source).expanduser().is_dir() else source
        self.backbone: nn.Module | None
        try:
            with quiet_transformers():
                self._tokenizer = AutoTokenizer.from_pretrained(path)
                loaded: Any = RobertaModel.from_pretrained(path, add_pooling_layer=False, output_loading_info=True, dtype=torch.float32)
                self.backbone, report = loaded
        except (OSError, ValueError, RuntimeError) as error:
            raise WeightsError(
                f"weights of {source!r} could not be loaded ({first_line(error)}): connect to the model hub once, or {HOW_TO_GET}"
            ) from error
        config = loaded[0].eval().config
        if config.model_type not in _SAME_FORWARD:
            raise WeightsError(f"{source}: weights of {config.model_type}, this tower runs {', '.join(_SAME_FORWARD)} only: {HOW_TO_GET}")
        if report["missing_keys"] or report["mismatched_keys"]:
            wrong = [*report["missing_keys"], *report["mismatched_keys"]]
            raise refuse(source, f"{len(wrong)} tensors missing or of another shape {wrong[:3]}", HOW_TO_GET)
        # Heads and the pooler are for other tasks; other tensors left over would be trained weights that are not run.
        left = [key for key in sorted(report["unexpected_keys"]) if _ENCODER.match(key) and not key.endswith("position_ids")]
        if left:
            raise refuse(source, f"{len(left)} tensors left over {left[:3]}", HOW_TO_GET)
        self.origin = origin(source)
        self.padding: int = self._tokenizer.pad_token_id
        vocabulary = json.dumps(sorted(self._tokenizer.get_vocab().items())).encode()
        self.configuration: dict[str, Any] = {
            **configuration(config, _CONFIGURATION),
            "vocabulary": hashlib.blake2b(vocabulary, digest_size=8).hexdigest(),
        }
        self.reduction = HiddenStateReduction(config.num_hidden_layers + 1, config.hidden_size)

    def preprocess(self, captions: Sequence[str]) -> list[torch.Tensor]:
        """Token ids of captions, int64 (n_i,), special tokens included."""
        encoded = self._tokenizer(list(captions), truncation=True, max_length=self._max_tokens)
        return [torch.tensor(ids) for ids in encoded["input_ids"]]

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the backbone, with the arguments of `torch.compile`."""
        assert self.backbone is not None
        self.backbone.compile(*args, **options)

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Token ids to pooled hidden states (N, layers, width)."""
        device = self.reduction.project.weight.device
        ids = nn.utils.rnn.pad_sequence(list(batch), batch_first=True, padding_value=self.padding).to(device)
        mask = torch.arange(ids.shape[1], device=device) < torch.tensor([len(x) for x in batch], device=device)[:, None]
        return self.states(ids, mask.long())

    def states(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pooled hidden states (N, layers, width) of token ids (N, T), whose mask (N, T) is 1 for tokens, 0 for padding."""
        assert self.backbone is not None
        states = self.backbone(ids, attention_mask=mask, output_hidden_states=True).hidden_states
        return pool_states(states, self._pool, mask)

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, layers, width) to (N, 512)."""
        return self.reduction(features)

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Token ids to (N, 512)."""
        return self.reduce(self.encode(batch))
