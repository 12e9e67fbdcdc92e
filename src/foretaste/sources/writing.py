"""Writing: a language model continues each example's prompt greedily, batch by batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretaste.loss.class_labels import find_counted
from foretaste.one_line import one_line
from foretaste.sources.extra import transformers
from foretaste.sources.tokens import Tokens, answer_of
from foretaste.task import Example

__all__ = ["Writer"]


@dataclass(frozen=True)
class Writer:
    """Greedy decoding after each example's prompt: its source, or everything before its last answer.

    Prompts of a causal model are padded on the left, so that all end at the same place; others on the right. Of the
    checkpoint's own settings for generation only the special tokens are used, as penalties and samplers would change
    which tokens are the likeliest.

    Args:
        tokens: The tokenizer, which pads prompts and decodes ids.
        most: Most tokens to write.
    """

    tokens: Tokens
    most: int

    __repr__ = one_line

    def __call__(self, model: nn.Module, examples: Sequence[Example]) -> list[tuple[str, str]]:
        """Return the text that the model writes for each example, and its reference.

        Args:
            model: A transformers language model, in evaluation mode.
            examples: Examples of `EncodedRows`, each with a reference.
        """
        assert isinstance(model, transformers.PreTrainedModel)
        translates = bool(model.config.is_encoder_decoder)
        prompts = [example["input_ids"] if translates else _prompt(example) for example in examples]
        ids, mask = self._padded(prompts, left=not translates)
        with _settings(model, self._greedy(model)):
            generated = model.generate(ids.to(model.device), attention_mask=mask.to(model.device))
        written = self.tokens.tokenizer.batch_decode(
            generated if translates else generated[:, ids.shape[1] :], skip_special_tokens=True
        )
        return [
            (text, bytes(example["reference"].tolist()).decode())
            for text, example in zip(written, examples, strict=True)
        ]

    def _padded(self, prompts: Sequence[Tensor], *, left: bool) -> tuple[Tensor, Tensor]:
        width = max(len(prompt) for prompt in prompts)
        ids = torch.full((len(prompts), width), self.tokens.padding)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            place = slice(width - len(prompt), width) if left else slice(0, len(prompt))
            ids[row, place], mask[row, place] = prompt, 1
        return ids, mask

    def _greedy(self, model: "transformers.PreTrainedModel") -> "transformers.GenerationConfig":
        own = model.generation_config
        ends = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
        return transformers.GenerationConfig(
            max_new_tokens=self.most,
            do_sample=False,
            num_beams=1,
            pad_token_id=self.tokens.padding,
            eos_token_id=sorted({self.tokens.end, *(end for end in ends if end is not None)}),
            bos_token_id=own.bos_token_id,
            decoder_start_token_id=own.decoder_start_token_id,
            forced_bos_token_id=own.forced_bos_token_id,
        )


def _prompt(example: Example) -> Tensor:
    """Return the ids up to the place whose label begins the last answer."""
    learned = find_counted(example["labels"]).tolist()
    return example["input_ids"][: answer_of(learned).start + 1]


@contextmanager
def _settings(model: "transformers.PreTrainedModel", settings: "transformers.GenerationConfig") -> Iterator[None]:
    """Set a model's settings for generation for a while; as an argument they would be mixed with its own."""
    own = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = own
