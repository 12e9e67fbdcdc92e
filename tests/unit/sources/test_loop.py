"""A site at the end of somebody's loop: what `fisher` gives, on examples read as the model's loss reads them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from foretaste.errors import TaskError
from foretaste.estimate.fisher import fisher
from foretaste.estimate.kfac import kfac
from foretaste.loss.class_labels import IGNORED
from foretaste.params import parameters_of
from foretaste.sources.loop import capture, task_of
from foretaste.task import Batch, Unit
from laws import assert_same, normal
from loops import (
    Items,
    State,
    assert_sites_equal,
    bert,
    causal,
    classified,
    entries,
    gpt2,
    network,
    no_labels,
    pad,
    pairs,
    seeded,
    seq2seq,
    shifted,
    t5,
    task,
)

SEED = 5


def as_pairs(items: list[Any]) -> Batch:
    inputs, labels = torch.utils.data.default_collate(items)
    return {"inputs": inputs, "labels": labels}


class TestTheSameAsFisher:
    def test_pairs_of_a_loader(self) -> None:
        model, data = network(), pairs()
        state = State(model)
        found = capture(model, DataLoader(data, batch_size=3, shuffle=True), max_examples=7, seed=SEED)
        state.assert_same()
        expected = fisher(
            model, None, task(data, collate=as_pairs), generator=seeded(SEED), max_examples=7, batch_size=3
        )
        assert_sites_equal(found, expected)
        assert (found.record.examples, found.record.unit) == (7, "example")
        assert set(found.carried) == {"1.running_mean", "1.running_var"}

    @pytest.mark.parametrize("labels", ["sampled", "empirical", "exact"])
    def test_a_classifier(self, labels: Any) -> None:  # noqa: ANN401 - a literal
        model, data = bert(), classified(9)
        found = capture(model, data, labels=labels, batch_size=4, seed=SEED)
        expected = fisher(
            model, None, task(data, predict=no_labels), generator=seeded(SEED), labels=labels, batch_size=4
        )
        assert_sites_equal(found, expected)

    @pytest.mark.parametrize("unit", ["token", "example"])
    def test_a_causal_language_model_with_padding_and_a_prompt(self, unit: Unit) -> None:
        model, data = gpt2(), causal(9)
        found = capture(model, DataLoader(data, batch_size=4, collate_fn=pad), unit=unit, seed=SEED)
        made = task(data, predict=no_labels, collate=shifted, unit=unit)
        assert_sites_equal(found, fisher(model, None, made, generator=seeded(SEED), batch_size=4))
        count = sum(len(each["labels"]) - 1 for each in data.items)
        assert (found.record.examples, found.record.units) == (9, count if unit == "token" else 9)

    def test_sequences_are_per_token_unless_asked_otherwise(self) -> None:
        assert capture(gpt2(), causal(3), collate=pad).record.unit == "token"

    def test_a_sequence_to_sequence_model(self) -> None:
        model, data = t5(), seq2seq(6)

        def predict(model: nn.Module, batch: Batch) -> Tensor:
            inputs = model.get_submodule("")._shift_right(batch["labels"])  # type: ignore[operator]
            logits = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], decoder_input_ids=inputs
            ).logits
            assert isinstance(logits, Tensor)
            return logits

        found = capture(model, data, collate=pad, batch_size=3, seed=SEED)
        made = task(data, predict=predict, collate=pad, unit="token")
        assert_sites_equal(found, fisher(model, None, made, generator=seeded(SEED), batch_size=3))

    def test_a_masked_language_model_whose_labels_are_of_their_places(self) -> None:
        model, data = bert("MaskedLM"), causal(6)
        made = task(data, predict=no_labels, collate=pad, unit="token")
        expected = fisher(model, None, made, generator=seeded(SEED), batch_size=3)
        assert_sites_equal(capture(model, data, collate=pad, batch_size=3, seed=SEED), expected)

    def test_kronecker(self) -> None:
        model, data = bert(), classified(9)
        found = capture(model, data, estimate="kfac", batch_size=4, seed=SEED)
        assert_sites_equal(
            found, kfac(model, None, task(data, predict=no_labels), generator=seeded(SEED), batch_size=4)
        )

    def test_labels_of_places_from_a_plain_model(self) -> None:
        data: Any = [(normal(4, 3, seed=seed), torch.tensor([0, 1, IGNORED, 1])) for seed in range(4)]
        model = nn.Linear(3, 2)
        found = capture(model, data, seed=SEED, batch_size=2)
        made = task(data, collate=as_pairs, unit="token")
        assert_sites_equal(found, fisher(model, None, made, generator=seeded(SEED), batch_size=2))
        assert found.record.units == 12

    def test_a_predict_of_ones_own(self) -> None:
        model, data = gpt2(), causal(5)
        found = capture(model, data, collate=shifted, predict=no_labels, seed=SEED, batch_size=2)
        assert_sites_equal(found, capture(model, data, collate=pad, seed=SEED, batch_size=2))

    def test_a_collator_that_draws_draws_the_same(self) -> None:
        def collate(items: list[Any]) -> Batch:
            inputs, labels = torch.utils.data.default_collate(items)
            return {"inputs": inputs + torch.randn(inputs.shape), "labels": labels}

        model = network()
        state = State(model)
        first, second, third = (capture(model, pairs(), collate=collate, seed=seed) for seed in (1, 1, 2))
        state.assert_same()
        assert_sites_equal(first, second)
        assert not torch.equal(entries(first)["0.weight"], entries(third)["0.weight"])


class Stream(IterableDataset[dict[str, Tensor]]):
    """Examples that never end."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while True:
            yield from classified(5).items


class TestData:
    def test_a_stream(self) -> None:
        model = bert()
        found = capture(model, DataLoader(Stream(), batch_size=4), max_examples=7, seed=SEED)
        first = Items([*classified(5).items, *classified(5).items[:2]])
        assert_sites_equal(found, capture(model, first, batch_size=4, seed=SEED))

    def test_label_for_labels_and_what_is_none(self) -> None:
        def collate(items: list[Any]) -> Mapping[str, Tensor | None]:
            batch = torch.utils.data.default_collate(items)
            return {"input_ids": batch["input_ids"], "label": batch["labels"].int(), "token_type_ids": None}

        model, data = bert(), classified(5)
        assert_sites_equal(capture(model, data, collate=collate), capture(model, data))

    def test_a_task_of_it(self) -> None:
        made = task_of(gpt2(), causal(5), collate=pad)
        assert (made.name, made.unit, len(made.train)) == ("loop", "token", 5)
        assert made.names == frozenset(parameters_of(gpt2()))

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ([{"input_ids": torch.ones(3).long()}], "a batch has input_ids and no labels; let the collator make them"),
            (
                [{"input_ids": "word", "labels": 1}],
                "input_ids of a batch is a list and no tensor; leave it out, or give collate",
            ),
            (
                [(torch.ones(1), torch.tensor(0), torch.ones(1))],
                r"it should be \(inputs, labels\), or a mapping with 'labels'",
            ),
            ([(torch.ones(1), torch.ones(2))], r"labels are torch.float32 of shape \[1, 2\], not classes by number"),
            ([], "no examples to estimate the curvature on"),
            (3, "a int is no data; give a DataLoader or a data set"),
        ],
    )
    def test_what_is_not_understood(self, data: object, message: str) -> None:
        with pytest.raises(TaskError, match=message):
            capture(bert(), data)


class TestTheModelsOwnLoss:
    def test_regression_is_refused_as_cross_entropy(self) -> None:
        data = Items([{**each, "labels": each["labels"].float()} for each in classified(4).items])
        with pytest.raises(TaskError, match=r"if another loss was trained, say which: loss='squared'"):
            capture(bert(num_labels=1), data)

    def test_another_loss_is_refused(self) -> None:
        class Smooth(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(3, 2)

            def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
                logits = self.layer(x)
                return {"logits": logits, "loss": nn.functional.cross_entropy(logits, labels, label_smoothing=0.9) + 1}

        data = [{"x": x, "labels": label} for x, label in pairs()]
        with pytest.raises(
            TaskError,
            match=r"the model's own loss on 4 examples is .* another loss has another curvature: give predict",
        ):
            capture(Smooth(), data)

    def test_a_model_without_a_loss_is_read_place_by_place(self) -> None:
        class Bare(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(3, 2)

            def forward(self, x: Tensor) -> Tensor:
                logits = self.layer(x)
                assert isinstance(logits, Tensor)
                return logits

        model = Bare()
        found = capture(model, [{"x": x, "labels": label} for x, label in pairs()], seed=SEED)
        assert_same(
            entries(found),
            {f"layer.{name}": tensor for name, tensor in entries(capture(model.layer, pairs(), seed=SEED)).items()},
        )

    def test_where_both_readings_give_the_same_the_models_name_decides(self) -> None:
        model = gpt2()
        with torch.no_grad():
            model.get_parameter("transformer.wte.weight").zero_()  # also the output layer: all words are as likely
        made = task_of(model, causal(5), collate=pad)
        assert_same(made.batch(made.train, [0, 1], torch.device("cpu")), dict(shifted(causal(5).items[:2])))

    def test_where_nothing_is_learned_in_the_first_examples(self) -> None:
        data = causal(8)
        for each in data.items[:4]:
            each["labels"] = torch.full_like(each["labels"], IGNORED)
        made = task_of(gpt2(), data, collate=pad)
        assert_same(made.batch(made.train, [4, 5], torch.device("cpu")), dict(shifted(data.items[4:6])))

    def test_logits_are_needed(self) -> None:
        class Silent(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(3, 2)

            def forward(self, x: Tensor) -> tuple[Tensor, None]:
                return self.layer(x), None

        for data in (pairs(), [{"x": x, "labels": label} for x, label in pairs()]):
            with pytest.raises(TaskError, match=r"the model gives a tuple without logits \(a fused loss\?\)"):
                capture(Silent(), data)
