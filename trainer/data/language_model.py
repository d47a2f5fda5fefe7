"""Refine captions with a causal language model on this machine, through transformers."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainer.data.refine import cleaned, completion_prompt
from trainer.errors import WeightsError
from trainer.libraries import first_line


class LocalModel:
    """A causal language model from a folder or the hub (in the paper Llama-3.1-8B), with greedy decoding.

    Args:
        source: folder or hub name.
        device: where it runs; in bfloat16 on a GPU, in float32 on a CPU.
        max_new_tokens: of an answer.
        batch_size: captions at a time.

    Raises:
        WeightsError: model or tokenizer are not available.
    """

    def __init__(self, source: str, device: torch.device, max_new_tokens: int, batch_size: int) -> None:
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", trust_remote_code=False)
            dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
            model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, trust_remote_code=False)
            self.model = model.to(device).eval()
        except (OSError, ValueError, ImportError) as error:
            reason = first_line(error)[:200]
            raise WeightsError(
                f"language model {source!r} could not be loaded ({reason}): connect to the model hub once, or name a folder with "
                "its config, weights and tokenizer as captions.llm.model"
            ) from error
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size

    @torch.inference_mode()
    def refine(self, captions: Sequence[str]) -> Iterator[str]:
        """Refined captions, in order."""
        for start in range(0, len(captions), self.batch_size):
            part = captions[start : start + self.batch_size]
            prompts = [completion_prompt(caption) for caption in part]
            inputs = self.tokenizer(prompts, return_tensors="pt", padding=True).to(self.model.device)
            inputs.pop("token_type_ids", None)
            generated = self.model.generate(
                **inputs, max_new_tokens=self.max_new_tokens, do_sample=False, pad_token_id=self.tokenizer.pad_token_id
            )
            answers = self.tokenizer.batch_decode(generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            yield from (cleaned(answer, caption) for answer, caption in zip(answers, part, strict=True))
