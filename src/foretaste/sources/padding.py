"""The padding token of decoders that classify by a text's last token before the padding.

The tokenizer and the model's configuration both name a padding token. If they differ, or neither names one, a padded
text would be classified by a padding token.
"""

import torch
from torch import nn

from foretaste.errors import DataError
from foretaste.params import in_eval_mode
from foretaste.sources.extra import transformers

__all__ = ["align_padding", "padding_token", "pools_by_padding"]


def align_padding(model: nn.Module, tokenizer: "transformers.PreTrainedTokenizerBase", path: str) -> int:
    """Make a model and its tokenizer agree on the padding token.

    Args:
        model: A transformers model; if its logits depend on padding, its configuration gets the token.
        tokenizer: The tokenizer of the model's texts.
        path: The checkpoint's path, for errors.

    Returns:
        The token to pad with.

    Raises:
        DataError: The model's logits depend on padding, and the tokenizer has neither a padding nor an end token.
    """
    assert isinstance(model, transformers.PreTrainedModel)
    if not pools_by_padding(model):
        return int(tokenizer.pad_token_id or 0)
    token = padding_token(tokenizer, model.get_input_embeddings().num_embeddings)
    if token is None:
        raise DataError(
            f"{path!r} reads a text's class at the last token before the padding, and its tokenizer has neither a"
            " padding token nor an end-of-text token; name one as 'pad_token' in its tokenizer_config.json"
        )
    for config in (model.config, model.config.get_text_config()):
        config.pad_token_id = token
    return token


def padding_token(tokenizer: "transformers.PreTrainedTokenizerBase", vocabulary: int) -> int | None:
    """Return a tokenizer's padding token, or its end token if the model's vocabulary has no padding token.

    Args:
        tokenizer: The tokenizer.
        vocabulary: Number of rows of the model's embedding.

    Returns:
        The token; None if there is neither.

    >>> from tokenizers import Tokenizer
    >>> from tokenizers.models import WordLevel
    >>> words = Tokenizer(WordLevel({"a": 0, "<end>": 1, "<pad>": 2}, unk_token="a"))
    >>> tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<pad>")
    >>> padding_token(tokenizer, 3), padding_token(tokenizer, 2), padding_token(tokenizer, 1)
    (2, 1, None)
    """
    return next(
        (
            token
            for token in (tokenizer.pad_token_id, tokenizer.eos_token_id)
            if token is not None and token < vocabulary
        ),
        None,
    )


def pools_by_padding(model: nn.Module) -> bool:
    """Tell whether a classifier's logits depend on the padding token of its configuration.

    Args:
        model: A transformers model for text classification.

    >>> sizes = {"vocab_size": 3, "n_embd": 2, "n_layer": 1, "n_head": 1}
    >>> pools_by_padding(transformers.GPT2ForSequenceClassification(transformers.GPT2Config(**sizes)))
    True
    """
    assert isinstance(model, transformers.PreTrainedModel)
    if model.config.is_encoder_decoder:
        return False  # these classify by the end token
    config = model.config.get_text_config()
    before = config.pad_token_id
    ids = torch.tensor([[0, 1]], device=model.device)
    logits = []
    try:
        with in_eval_mode(model), torch.no_grad():
            for token in (0, 1):
                config.pad_token_id = token
                logits.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)
    finally:
        config.pad_token_id = before
    return not torch.allclose(*logits)
