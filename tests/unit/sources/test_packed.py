"""Packed batches taken apart: what is in them, and that a site does not depend on packing."""

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import DataCollatorWithFlattening

from foretaste.loss.class_labels import IGNORED
from foretaste.sources.loop import capture
from foretaste.sources.packed import unpack_rows
from foretaste.task import Batch
from loops import causal, gpt2, pad


@pytest.mark.parametrize("described", [False, True], ids=["positions alone", "with sequence lengths"])
def test_a_site_is_the_same_however_texts_are_packed(described: bool) -> None:
    flat = DataCollatorWithFlattening(return_flash_attn_kwargs=described, return_seq_idx=described)

    def packed(items: list[Any]) -> Batch:
        batch: Batch = flat([{key: tensor.tolist() for key, tensor in item.items()} for item in items])
        return batch

    one, other = (
        capture(gpt2(), DataLoader(causal(5), 3, collate_fn=collate), labels="exact") for collate in (pad, packed)
    )
    assert (
        (other.record.examples, other.record.units) == (one.record.examples, one.record.units) == (5, one.record.units)
    )
    assert any(tensor.any() for tensor in one.precision.to_tensors().values())
    for name, tensor in one.precision.to_tensors().items():
        torch.testing.assert_close(other.precision.to_tensors()[name], tensor, msg=name)


def test_labels_are_filled_with_what_is_ignored() -> None:
    row = {
        "input_ids": torch.tensor([[5, 6, 7]]),
        "labels": torch.tensor([[5, 6, 7]]),
        "position_ids": torch.tensor([[0, 0, 1]]),
    }
    found = unpack_rows({**row, "max_length_q": 2, "cu_seq_lens_q": torch.tensor([0, 1, 3])})
    assert set(found) == {"input_ids", "labels", "position_ids", "attention_mask"}
    assert found["labels"].tolist() == [[5, IGNORED], [6, 7]]
    assert found["attention_mask"].tolist() == [[1, 0], [1, 1]]
    assert found["position_ids"].tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize(
    "places",
    [None, [[0, 1, 2], [0, 1, 0]], [[1, 1, 0]], [[0, 2, 0]], [[[0, 1, 0]]], [[3, 4, 5]]],
    ids=["none", "two rows", "left padding", "a jump", "three dimensions", "no beginning"],
)
def test_another_batch_stays_as_it_is(places: list[list[int]] | None) -> None:
    batch = {"input_ids": torch.ones(1, 3)} | ({} if places is None else {"position_ids": torch.tensor(places)})
    assert unpack_rows(batch) == batch
