"""A real transformers Trainer on a tiny BERT; nothing is fetched."""

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from foretaste.errors import ParamsError, RunFailed
from foretaste.estimate.ivon import IVON
from foretaste.estimate.variational import StaleCurvature
from foretaste.params import Params, parameters_of, snapshot
from foretaste.posterior.diagonal import Diagonal
from foretaste.sources.trainer import VariationalCallback
from laws import assert_same

WORDS, LENGTH, STEPS = 12, 6, 8
Row = dict[str, Tensor]


class Rows(torch.utils.data.Dataset[Row]):
    """Sentences whose first word tells the label; one may be broken."""

    def __init__(self, count: int, seed: int, broken: int | None = None) -> None:
        self.inputs = torch.randint(3, WORDS, (count, LENGTH), generator=torch.Generator().manual_seed(seed))
        self.broken = broken

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Row:
        inputs = self.inputs[index]
        if index == self.broken:
            inputs = inputs + 1000  # outside of the vocabulary
        return {
            "input_ids": inputs,
            "attention_mask": torch.ones(LENGTH, dtype=torch.long),
            "labels": (self.inputs[index, 0] % 2).long(),
        }


class Watcher(transformers.TrainerCallback):  # type: ignore[misc]
    """Notes the params wherever a Trainer looks at them."""

    def __init__(self) -> None:
        self.at_step_begin, self.at_step_end, self.losses = list[Params](), list[Params](), list[float]()

    def on_step_begin(
        self, args: object, state: object, control: object, *, model: nn.Module, **kwargs: object
    ) -> None:
        self.at_step_begin.append(snapshot(parameters_of(model)))

    def on_step_end(self, args: object, state: object, control: object, *, model: nn.Module, **kwargs: object) -> None:
        self.at_step_end.append(snapshot(parameters_of(model)))

    def on_evaluate(
        self, args: object, state: object, control: object, metrics: dict[str, float], **kwargs: object
    ) -> None:
        self.losses.append(metrics["eval_loss"])


class StopsBetween(transformers.TrainerCallback):  # type: ignore[misc]
    """Stops training in the middle of a step."""

    def on_substep_end(
        self, args: object, state: object, control: transformers.TrainerControl, **kwargs: object
    ) -> None:
        control.should_training_stop = True


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng([]):
        yield


def bert(idle: bool = False) -> nn.Module:
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 8,
    }
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(vocab_size=WORDS, initializer_range=0.3, **sizes, **dropout)
    )
    model.accepts_loss_kwargs = False  # Trainer divides the loss by the number of micro-batches
    assert isinstance(model, nn.Module)
    if idle:
        model.register_parameter("idle", nn.Parameter(torch.ones(3)))
    return model


def ivon(model: nn.Module, **changes: Any) -> IVON:  # noqa: ANN401 - settings of all types
    return IVON(model.parameters(), **({"ess": 1000, "steps": STEPS, "lr": 0.1, "hessian_init": 0.1} | changes))


def trainer(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    callbacks: Sequence[transformers.TrainerCallback],
    *,
    data: Rows | None = None,
    **changes: Any,  # noqa: ANN401 - settings of all types
) -> transformers.Trainer:
    settings: dict[str, Any] = {
        "max_steps": STEPS,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "max_grad_norm": 0.5,
        "learning_rate": 0.1,
        "lr_scheduler_type": "constant",
        "report_to": "none",
        "use_cpu": True,
        "save_strategy": "no",
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "seed": 3,
    }
    return transformers.Trainer(
        model,
        transformers.TrainingArguments(str(folder), **(settings | changes)),
        train_dataset=data or Rows(32, 1),
        eval_dataset=Rows(16, 2),
        optimizers=(optimizer, None),
        callbacks=list(callbacks),
    )


class TestTraining:
    @pytest.mark.parametrize("bf16", [False, True])
    @pytest.mark.parametrize("accumulation", [1, 2])
    def test_params_are_at_a_draw_within_a_step_and_at_the_mean_after_it(
        self, tmp_path: Path, accumulation: int, bf16: bool
    ) -> None:
        model, watcher = bert(), Watcher()
        start = snapshot(parameters_of(model))
        with VariationalCallback() as callback:
            changes: dict[str, Any] = {
                "gradient_accumulation_steps": accumulation,
                "bf16": bf16,
                "eval_strategy": "steps",
                "eval_steps": 1,
            }
            run = trainer(tmp_path, model, ivon(model), [callback, watcher], **changes)
            run.train()
        means = [start, *watcher.at_step_end]
        for mean, drawn in zip(means, watcher.at_step_begin, strict=False):
            assert all(not torch.equal(mean[name], drawn[name]) for name in mean)
        assert_same(snapshot(parameters_of(model)), watcher.at_step_end[-1])
        assert watcher.losses[-1] == run.evaluate()["eval_loss"]
        assert len(watcher.losses) == STEPS + 1

    def test_it_learns(self, tmp_path: Path) -> None:
        model = bert()
        callback = VariationalCallback()
        run = trainer(
            tmp_path, model, ivon(model, steps=60), [callback], max_steps=60, learning_rate=0.3, max_grad_norm=0.0
        )
        before = run.evaluate()["eval_loss"]
        run.train()
        assert run.evaluate()["eval_loss"] < before
        site = callback.site(model, examples=32)
        assert isinstance(site.precision, Diagonal)
        assert site.record.details == {"learned": f"{1 - (1 - 4 / 60) ** 60:.3f}", "steps": "60"}
        assert (site.record.estimator, site.record.examples, site.record.unit) == ("variational", 32, "example")
        assert_same(site.center, snapshot(parameters_of(model)))
        assert all(
            bool(torch.isfinite(h).all()) and h.shape == site.center[name].shape
            for name, h in site.precision.entries.items()
        )

    def test_micro_batches_are_one_batch(self, tmp_path: Path) -> None:
        """The same rows, the same draw: the same curvature and mean."""
        found = []
        for size, accumulation in ((8, 1), (4, 2), (2, 4)):
            model = bert()
            optimizer = ivon(model, generator=torch.Generator().manual_seed(0))
            changes: dict[str, Any] = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
            run = trainer(
                tmp_path, model, optimizer, [VariationalCallback()], max_steps=2, max_grad_norm=0.0, **changes
            )
            run.train()
            found.append(
                (snapshot(parameters_of(model)), optimizer.state[model.get_parameter("classifier.weight")]["hessian"])
            )
        for mean, hessian in found[1:]:
            torch.testing.assert_close(hessian, found[0][1], rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(mean, found[0][0], rtol=1e-3, atol=1e-5)

    def test_clipping_leaves_h_alone(self, tmp_path: Path) -> None:
        found = []
        for norm in (1e-4, 0.0):
            model = bert()
            optimizer = ivon(model, generator=torch.Generator().manual_seed(0))
            trainer(tmp_path, model, optimizer, [VariationalCallback()], max_steps=1, max_grad_norm=norm).train()
            found.append((parameters_of(model), optimizer.state[model.get_parameter("classifier.weight")]["hessian"]))
        assert torch.equal(found[0][1], found[1][1])
        assert not torch.equal(found[0][0]["classifier.weight"], found[1][0]["classifier.weight"])

    def test_several_groups_and_their_least_learned_one(self, tmp_path: Path) -> None:
        model = bert()
        head = [model.get_parameter("classifier.weight"), model.get_parameter("classifier.bias")]
        body = [parameter for name, parameter in model.named_parameters() if not name.startswith("classifier")]
        optimizer = IVON([{"params": body, "lr": 0.0}, {"params": head, "beta2": 0.99}], ess=1000, steps=STEPS)
        start = snapshot(parameters_of(model))
        callback = VariationalCallback()
        trainer(tmp_path, model, optimizer, [callback]).train()
        moved = {name for name, tensor in parameters_of(model).items() if not torch.equal(tensor, start[name])}
        assert moved == {"classifier.weight", "classifier.bias"}
        with pytest.warns(StaleCurvature, match="92% of the learned curvature"):
            assert callback.site(model, examples=32).record.details == {
                "learned": f"{1 - 0.99**STEPS:.3f}",
                "steps": str(STEPS),
            }

    def test_a_parameter_without_gradient(self, tmp_path: Path) -> None:
        model = bert(idle=True)
        callback = VariationalCallback()
        trainer(tmp_path, model, ivon(model), [callback]).train()
        assert torch.equal(model.get_parameter("idle").detach(), torch.ones(3))
        site = callback.site(model, examples=32)
        assert isinstance(site.precision, Diagonal)
        assert_same({"idle": site.precision.entries["idle"]}, {"idle": torch.zeros(3)})


class TestResume:
    def test_a_checkpoint_goes_on_as_if_it_had_not_stopped(self, tmp_path: Path) -> None:
        whole = bert()
        optimizer = ivon(whole)
        trainer(tmp_path, whole, optimizer, [VariationalCallback()], save_strategy="steps", save_steps=3).train()
        torch.manual_seed(99)
        resumed = bert()
        with torch.no_grad():
            resumed.get_parameter("classifier.weight").fill_(7.0)
        other = ivon(resumed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="torch")
            trainer(tmp_path, resumed, other, [VariationalCallback()]).train(
                resume_from_checkpoint=str(tmp_path / "checkpoint-3")
            )
        weight = resumed.get_parameter("classifier.weight")
        assert float(other.state[weight]["step"]) == STEPS
        assert_same(snapshot(parameters_of(resumed)), snapshot(parameters_of(whole)))
        assert torch.equal(
            other.state[weight]["hessian"], optimizer.state[whole.get_parameter("classifier.weight")]["hessian"]
        )

    def test_a_checkpoint_holds_the_mean(self, tmp_path: Path) -> None:
        model, watcher = bert(), Watcher()
        trainer(
            tmp_path, model, ivon(model), [VariationalCallback(), watcher], save_strategy="steps", save_steps=3
        ).train()
        kept = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "checkpoint-3")
        assert_same(snapshot(parameters_of(kept)), watcher.at_step_end[2])


class TestBrokenOff:
    def test_an_exception_leaves_the_mean(self, tmp_path: Path) -> None:
        model, watcher = bert(), Watcher()
        data = Rows(32, 1, broken=5)
        with pytest.raises(IndexError), VariationalCallback() as callback:
            trainer(tmp_path, model, ivon(model), [callback, watcher], data=data).train()
        last = watcher.at_step_end[-1] if watcher.at_step_end else snapshot(parameters_of(bert()))
        assert len(watcher.at_step_begin) == len(watcher.at_step_end) + 1
        assert_same(snapshot(parameters_of(model)), last)

    def test_training_again_starts_from_the_mean(self, tmp_path: Path) -> None:
        model, callback = bert(), VariationalCallback()
        optimizer = ivon(model)
        with pytest.raises(IndexError):
            trainer(tmp_path, model, optimizer, [callback], data=Rows(32, 1, broken=5)).train()
        trainer(tmp_path, model, optimizer, [callback], max_steps=1).train()
        assert all(math.isfinite(float(tensor.sum())) for tensor in parameters_of(model).values())

    def test_another_callback_may_stop_between_two_micro_batches(self, tmp_path: Path) -> None:
        model = bert()
        trainer(tmp_path, model, ivon(model), [VariationalCallback(), StopsBetween()]).train()
        assert_same(snapshot(parameters_of(model)), snapshot(parameters_of(bert())))


class Two(transformers.TrainingArguments):  # type: ignore[misc]
    """As in each of two processes."""

    @property
    def world_size(self) -> int:
        return 2


class TestRefused:
    def test_another_optimizer(self, tmp_path: Path) -> None:
        model = bert()
        with pytest.raises(ParamsError, match=r"needs the optimizer IVON, not AdamW; give Trainer optimizers=\(IVON"):
            trainer(tmp_path, model, torch.optim.AdamW(model.parameters()), [VariationalCallback()]).train()
        assert_same(snapshot(parameters_of(model)), snapshot(parameters_of(bert())))

    def test_fp16_and_several_processes(self, tmp_path: Path) -> None:
        optimizer, state, control = ivon(bert()), transformers.TrainerState(), transformers.TrainerControl()
        args = transformers.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
        args.fp16 = True
        with pytest.raises(ParamsError, match="fp16's scaled gradients; set bf16=True"):
            VariationalCallback().on_train_begin(args, state, control, optimizer=optimizer)
        two = Two(str(tmp_path), use_cpu=True, report_to="none")
        with pytest.raises(RunFailed, match="started in 2 processes"):
            VariationalCallback().on_train_begin(two, state, control, optimizer=optimizer)

    def test_a_site_of_nothing(self) -> None:
        with pytest.raises(RunFailed, match="nothing was trained with this VariationalCallback"):
            VariationalCallback().site(bert(), examples=1)

    def test_a_site_of_another_model(self, tmp_path: Path) -> None:
        model, callback = bert(), VariationalCallback()
        trainer(tmp_path, model, ivon(model), [callback], max_steps=1).train()
        with pytest.raises(ParamsError, match="came with no h at all"):
            callback.site(bert(), examples=1)
