"""Packed batches, in which collators put texts end to end to save padding, and how they are unpacked."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from foretaste.loss.class_labels import pad_labels

__all__ = ["unpack_rows"]

_OF_THE_WHOLE = {"cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx"}


def unpack_rows(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Give every text of a packed batch a row of its own.

    TRL's packed and padding-free batches, and those of transformers' `DataCollatorWithFlattening`, are one row of N
    texts. In it ``position_ids`` begin at 0 with each text. Plain attention would let one text see another, and the row
    would count as one example.

    Args:
        batch: Tensors by name; those of shape `[1, S]` belong to the S tokens.

    Returns:
        A packed batch as `[N, longest]`, with an ``attention_mask`` and without the tensors that describe the packed
        row. Any other batch is returned as it is.

    >>> row = torch.tensor([[5, 6, 7, 8, 9]])
    >>> unpack_rows({"input_ids": row, "position_ids": torch.tensor([[0, 1, 0, 1, 2]])})["input_ids"]
    tensor([[5, 6, 0],
            [7, 8, 9]])
    """
    places = batch.get("position_ids")
    if not isinstance(places, Tensor) or not _restarts(places):
        return dict(batch)
    starts = (places[0] == 0).nonzero().flatten().tolist()
    lengths = [end - start for start, end in zip(starts, [*starts[1:], places.shape[1]], strict=True)]
    return {
        key: _padded(key, torch.split(value[0], lengths))
        if isinstance(value, Tensor) and value.shape == places.shape
        else value
        for key, value in {**batch, "attention_mask": torch.ones_like(places)}.items()
        if key not in _OF_THE_WHOLE
    }


def _padded(key: str, rows: Sequence[Tensor]) -> Tensor:
    return pad_labels(rows) if key == "labels" else pad_sequence(list(rows), batch_first=True)


def _restarts(places: Tensor) -> bool:
    """Tell whether a row's positions begin at 0 with every text."""
    if places.dim() != 2 or len(places) != 1:
        return False
    first, step = places[0, 0], places[0].diff()
    return bool(first == 0) and bool(((step == 1) | (places[0, 1:] == 0)).all())
