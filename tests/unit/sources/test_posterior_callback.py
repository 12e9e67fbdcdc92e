"""A real Trainer with one more callback: the site is `capture`'s or Adam's, and the run is as without it."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import peft
import pytest
import torch
import transformers
from torch import nn
from torch.utils.data import IterableDataset

from foretaste.digests import digest
from foretaste.errors import DataError, ParamsError, RunFailed, StorageError, TaskError
from foretaste.estimate.fisher import fisher
from foretaste.metrics import METRICS
from foretaste.params import parameters_of, snapshot
from foretaste.posterior.kronecker import Kronecker
from foretaste.sources.loop import capture, task_of
from foretaste.sources.posterior_callback import NoPosterior, PosteriorCallback
from foretaste.sources.site_file import NAME, load_site
from foretaste.sources.trainer_adam import site_of_adam
from foretaste.task import Task, Unit
from laws import assert_same
from loops import Items, State, assert_sites_equal, bert, causal, classified, gpt2, pad, seeded, seq2seq, t5, trainer

SEED = 5
peft_warns = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # peft asks transformers


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng([]):
        yield


def assert_stored(callback: PosteriorCallback, path: Path) -> None:
    assert callback.path == path
    assert callback.site is not None
    assert_sites_equal(load_site(path), callback.site)
    assert load_site(path).record == callback.site.record


class TestFisher:
    def test_a_classifier(self, tmp_path: Path) -> None:
        model, data, callback = bert(), classified(10), PosteriorCallback(seed=SEED)
        start = digest(parameters_of(model))
        trainer(tmp_path, model, data, [callback]).train()
        task = Task(
            "a",
            data,
            data,
            [METRICS["accuracy"]],
            predict=lambda model, batch: model(**{**batch, "labels": None}).logits,
        )
        assert_sites_equal(callback.site, fisher(model, None, task, generator=seeded(SEED), batch_size=4))
        assert_stored(callback, tmp_path / NAME)
        assert callback.site is not None
        assert callback.site.record.details == {
            "model": "BertForSequenceClassification",
            "dtype": "float32",
            "trained": f"{len(parameters_of(model))} of {len(parameters_of(model))} tensors",
            "seed": str(SEED),
            "pretrained": start,
        }

    @pytest.mark.parametrize("unit", ["token", "example", None])
    def test_a_causal_language_model(self, tmp_path: Path, unit: Unit | None) -> None:
        model, data = gpt2(), causal(10)
        callback = PosteriorCallback(tmp_path / "news.safetensors", unit=unit, max_examples=6, seed=SEED)
        trainer(tmp_path, model, data, [callback], collate=pad).train()
        expected = capture(model, data, collate=pad, unit=unit, max_examples=6, batch_size=4, seed=SEED)
        assert_sites_equal(callback.site, expected)
        assert_stored(callback, tmp_path / "news.safetensors")
        assert (expected.record.examples, expected.record.unit) == (6, unit or "token")

    def test_a_sequence_to_sequence_model(self, tmp_path: Path) -> None:
        model, data, callback = t5(), seq2seq(6), PosteriorCallback(seed=SEED)
        trainer(tmp_path, model, data, [callback], collate=pad).train()
        assert_sites_equal(callback.site, capture(model, data, collate=pad, batch_size=4, seed=SEED))

    def test_kronecker_and_exact_labels(self, tmp_path: Path) -> None:
        model, data = bert(), classified(6)
        callback = PosteriorCallback(estimate="kfac", labels="exact", batch_size=3, mean=False)
        trainer(tmp_path, model, data, [callback]).train()
        assert_sites_equal(callback.site, capture(model, data, estimate="kfac", labels="exact", batch_size=3))
        found = load_site(tmp_path / NAME, parameters_of(model))
        assert isinstance(found.precision, Kronecker)
        with pytest.raises(ParamsError, match="saved without the task's params"):
            load_site(tmp_path / NAME)

    def test_columns_that_the_model_does_not_take(self, tmp_path: Path) -> None:
        """Trainer drops them; so does the estimate."""
        data = classified(8)
        rows = datasets.Dataset.from_list(
            [{key: tensor.tolist() for key, tensor in each.items()} | {"text": "a"} for each in data.items]
        )
        found = []
        for name, each in (("rows", rows), ("items", Items([{**item, "other": torch.ones(1)} for item in data.items]))):
            model, callback = bert(), PosteriorCallback(seed=SEED)
            trainer(tmp_path / name, model, each, [callback]).train()
            assert callback.site is not None
            found.append(callback.site)
            assert_sites_equal(callback.site, capture(model, data, batch_size=4, seed=SEED))
        assert_sites_equal(found[0], found[1])

    def test_other_examples(self, tmp_path: Path) -> None:
        model, callback = bert(), PosteriorCallback(examples=classified(7, seed=9), seed=SEED)
        trainer(tmp_path, model, classified(10), [callback]).train()
        assert_sites_equal(callback.site, capture(model, classified(7, seed=9), batch_size=4, seed=SEED))

    def test_a_stream(self, tmp_path: Path) -> None:
        class Stream(IterableDataset[Any]):
            def __iter__(self) -> Iterator[Any]:
                yield from classified(20).items

        model, callback = bert(), PosteriorCallback(max_examples=6, seed=SEED)
        trainer(tmp_path, model, Stream(), [callback]).train()
        assert_sites_equal(callback.site, capture(model, Items(classified(20).items[:6]), batch_size=4, seed=SEED))

    def test_mixed_precision(self, tmp_path: Path) -> None:
        model, data, callback = bert(), classified(8), PosteriorCallback(seed=SEED)
        run = trainer(tmp_path, model, data, [callback], bf16=True)
        run.train()
        assert_sites_equal(callback.site, capture(model, data, batch_size=4, seed=SEED))
        assert run.predict(data).predictions.shape == (8, 2)

    @peft_warns
    def test_an_adapter(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        config = peft.LoraConfig(r=2, target_modules=["query"], modules_to_save=["classifier"])
        model, data, callback = peft.get_peft_model(bert(), config), classified(8), PosteriorCallback(seed=SEED)
        start = digest({name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad})
        trainer(tmp_path, model, data, [callback]).train()
        assert_sites_equal(callback.site, capture(model, data, batch_size=4, seed=SEED))
        assert callback.site is not None
        assert callback.site.record.details["adapter"] == "LORA"
        assert callback.site.record.details["pretrained"] == start
        assert_stored(callback, tmp_path / NAME)


class TestAdam:
    @pytest.mark.parametrize("language", [True, False])
    def test_the_runs_own_optimizer(self, tmp_path: Path, language: bool) -> None:
        model, data = (gpt2(), causal(10)) if language else (bert(), classified(10))
        collate = pad if language else None
        callback = PosteriorCallback(estimate="adam")
        run = trainer(
            tmp_path,
            model,
            data,
            [callback],
            collate=collate,
            logging_strategy="steps",
            logging_steps=1,
            max_grad_norm=0.1,
        )
        run.train()
        expected = site_of_adam(model, task_of(model, data, collate=collate), run.optimizer, run.args, run.state)
        assert_sites_equal(callback.site, expected)
        assert_stored(callback, tmp_path / NAME)
        assert 0 < float(expected.record.details["clip"]) < 1

    @peft_warns
    def test_an_adapter(self, tmp_path: Path) -> None:
        config = peft.LoraConfig(r=2, target_modules=["query"], modules_to_save=["classifier"])
        model, data, callback = peft.get_peft_model(bert(), config), classified(8), PosteriorCallback(estimate="adam")
        trainer(tmp_path, model, data, [callback], max_grad_norm=0.0, gradient_accumulation_steps=2).train()
        assert callback.site is not None
        assert set(callback.site.center) == {
            name for name, parameter in model.named_parameters() if parameter.requires_grad
        }
        assert callback.site.record.details["clip"] == "2.0"  # BERT adds the two means up

    def test_what_cannot_be_corrected_is_said_before_training(self, tmp_path: Path) -> None:
        model = bert()
        run = trainer(tmp_path, model, classified(8), [PosteriorCallback(estimate="adam")])
        with pytest.raises(ParamsError, match="gradients are clipped to 1 and their norms will not be logged"):
            run.train()
        assert_same(snapshot(parameters_of(model)), snapshot(parameters_of(bert())))
        run = trainer(
            tmp_path, model, classified(8), [PosteriorCallback(estimate="adam")], optim="adafactor", max_grad_norm=0.0
        )
        with pytest.raises(ParamsError, match="Adafactor does not keep the second moment"):
            run.train()


class TestTheRun:
    def test_is_as_without(self, tmp_path: Path) -> None:
        found = []
        for callbacks in ([], [PosteriorCallback()]):
            torch.manual_seed(1)
            model = bert(hidden_dropout_prob=0.3)
            run = trainer(tmp_path, model, classified(10), callbacks, save_strategy="steps", save_steps=4)
            output = run.train()
            found.append((snapshot(parameters_of(model)), output.training_loss, torch.get_rng_state()))
            assert model.training
        assert_same(found[0][0], found[1][0])
        assert found[0][1] == found[1][1]
        assert torch.equal(found[0][2], found[1][2])
        kept = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "checkpoint-4")
        assert_same(snapshot(parameters_of(kept)), load_site(tmp_path / NAME).center)

    def test_a_resumed_one_does_not_know_where_it_started(self, tmp_path: Path) -> None:
        trainer(tmp_path, bert(), classified(10), [], save_strategy="steps", save_steps=2).train()
        model, callback = bert(), PosteriorCallback(seed=SEED)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="torch")
            trainer(tmp_path, model, classified(10), [callback]).train(
                resume_from_checkpoint=str(tmp_path / "checkpoint-2")
            )
        assert callback.site is not None
        assert "pretrained" not in callback.site.record.details
        assert_sites_equal(callback.site, capture(model, classified(10), batch_size=4, seed=SEED))

    def test_several_processes_leave_it_to_the_first(self, tmp_path: Path) -> None:
        callback, state = PosteriorCallback(), transformers.TrainerState(is_world_process_zero=False)
        run = trainer(tmp_path, bert(), classified(4), [])
        for event in (callback.on_train_begin, callback.on_train_end):
            event(
                run.args,
                state,
                run.control,
                model=run.model,
                optimizer=run.optimizer,
                train_dataloader=run.get_train_dataloader(),
            )
        assert callback.site is None
        assert not (tmp_path / NAME).exists()


class Breaks(Items):
    """Examples that fail once training is over."""

    over = False

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401 - an example
        if self.over:
            raise OSError("the disk with the data is gone")
        return super().__getitem__(index)


class Last(transformers.TrainerCallback):  # type: ignore[misc]
    def __init__(self, data: Breaks) -> None:
        self._data = data

    def on_epoch_end(self, args: object, state: object, control: object, **kwargs: object) -> None:
        self._data.over = True


class TestFailing:
    def test_an_estimate_that_fails_is_a_warning(self, tmp_path: Path) -> None:
        data = Breaks(classified(16).items)
        model, callback = bert(), PosteriorCallback()
        run = trainer(tmp_path, model, data, [Last(data), callback])
        with pytest.warns(
            NoPosterior, match=r"could not be captured \(OSError: the disk with the data is gone\)"
        ) as seen:
            output = run.train()
        assert output.global_step == 4
        assert callback.site is None
        again = (
            f"PosteriorCallback('{tmp_path / NAME}').capture(BertForSequenceClassification.from_pretrained(CHECKPOINT),"
            " trainer.get"
        )
        assert again in str(seen[0].message)
        other = bert()
        trainer(tmp_path, other, classified(16), []).train()
        assert_same(snapshot(parameters_of(model)), snapshot(parameters_of(other)))
        assert not list(tmp_path.glob("*.safetensors"))

    def test_and_can_be_made_later_from_the_checkpoint(self, tmp_path: Path) -> None:
        data = Breaks(classified(16).items)
        callback = PosteriorCallback(seed=SEED)
        run = trainer(tmp_path, bert(), data, [Last(data), callback])
        with pytest.warns(NoPosterior):
            run.train()
        run.save_model(str(tmp_path / "model"))
        data.over = False
        model = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "model")
        state = State(model)
        found = callback.capture(model, run.get_train_dataloader())
        state.assert_same()
        assert_sites_equal(found, capture(run.model, data, batch_size=4, seed=SEED))
        assert_stored(callback, tmp_path / NAME)
        assert "pretrained" in found.record.details

    def test_a_disk_that_refuses(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        callback = PosteriorCallback(tmp_path / "file" / NAME)
        with pytest.warns(NoPosterior, match="StorageError: could not write"):
            trainer(tmp_path, bert(), classified(8), [callback]).train()
        assert callback.site is not None  # it was made, and is there
        with pytest.raises(StorageError):
            callback.capture(bert(), classified(8))

    @peft_warns
    def test_the_way_out_of_an_adapter(self, tmp_path: Path) -> None:
        data = Breaks(classified(16).items)
        model = peft.get_peft_model(bert(), peft.LoraConfig(r=2, target_modules=["query"]))
        way = re.escape(
            "capture(PeftModel.from_pretrained(MODEL, CHECKPOINT, is_trainable=True), trainer.get_train_dataloader())"
        )
        with pytest.warns(NoPosterior, match=way):
            trainer(tmp_path, model, data, [Last(data), PosteriorCallback()]).train()

    def test_what_can_be_known_is_said_before_training(self, tmp_path: Path) -> None:
        data = Items([{**each, "labels": each["labels"].float()} for each in classified(8).items])
        with pytest.raises(TaskError, match="not classes by number, as cross-entropy needs"):
            trainer(tmp_path, bert(num_labels=1), data, [PosteriorCallback()]).train()

        def fails(module: nn.Module, args: object) -> None:
            raise ValueError("half precision only")

        model = bert()
        model.register_forward_pre_hook(fails)
        with pytest.raises(
            RunFailed, match=r"could not run the model once before training \(ValueError: half precision only\); fix it"
        ):
            trainer(tmp_path, model, classified(8), [PosteriorCallback()]).train()

    def test_by_hand_it_raises(self, tmp_path: Path) -> None:
        callback = PosteriorCallback()
        with pytest.raises(TaskError, match="no labels"):
            callback.capture(bert(), [{"input_ids": torch.ones(3).long()}])
        assert callback.capture(bert(), classified(4)).record.examples == 4
        assert callback.path is None
        with pytest.raises(DataError):
            load_site(tmp_path / NAME)
