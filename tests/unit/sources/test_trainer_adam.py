"""A real Trainer's Adam, whose curvature is compared with gradients taken by hand."""

import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from foretaste.errors import ParamsError
from foretaste.estimate.adam import AdamRun, Moments, adam
from foretaste.params import parameters_of
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite
from foretaste.sources.loop import task_of
from foretaste.sources.trainer_adam import check_adam, clip_of, site_of_adam
from laws import assert_close, assert_same
from loops import Items, bert, causal, classified, gpt2, pad, trainer


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng([]):
        yield


def entries(site: GaussianSite) -> Mapping[str, Tensor]:
    assert isinstance(site.precision, Diagonal)
    return site.precision.entries


def trained(
    folder: Path,
    model: nn.Module,
    data: Items,
    *,
    collate: object = None,
    kind: type[torch.optim.AdamW] = torch.optim.AdamW,
    **changes: Any,  # noqa: ANN401 - settings of all types
) -> "transformers.Trainer":
    """A run whose params stay where they are, on whole passes over the data: every step has the same gradient."""
    optimizer = kind(model.parameters(), lr=0.0, betas=(0.9, 0.9))
    run = trainer(
        folder,
        model,
        data,
        [],
        optimizer=optimizer,
        collate=collate,
        logging_strategy="steps",
        logging_steps=1,
        **changes,
    )
    run.train()
    return run


def site(run: "transformers.Trainer", data: Items, *, collate: Any = None, **changes: Any) -> GaussianSite:  # noqa: ANN401 - settings of all types
    task = task_of(run.model, data, collate=collate, unit=changes.pop("unit", None))
    return site_of_adam(run.model, task, run.optimizer, run.args, run.state, **changes)


def mean_gradient(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = dict(model.named_parameters())
    loss = model(**batch).loss  # the mean over examples, or label tokens
    return {
        name: grad.square() for name, grad in zip(named, torch.autograd.grad(loss, list(named.values())), strict=True)
    }


def assert_is_curvature(found: GaussianSite, squares: Mapping[str, Tensor], batch: float) -> None:
    """``h = B G^2``; what is rounding noise in G (attention does not see a key's bias) is left out."""
    seen = [name for name in squares if "key.bias" not in name and "c_attn.bias" not in name]
    assert_close({name: entries(found)[name] for name in seen}, {name: squares[name] * batch for name in seen}, 1e-3)


class TestAgainstGradientsByHand:
    """The params do not move and every step sees all data: Adam's curvature is B times the mean gradient squared."""

    @pytest.mark.parametrize("clip", [0.0, 1e-3])
    @pytest.mark.parametrize(("size", "parts"), [(8, 1), (4, 2), (2, 4)])
    @pytest.mark.parametrize("listens", [None, False])
    def test_a_classifier_that_does_not_listen(
        self, tmp_path: Path, size: int, parts: int, clip: float, listens: bool | None
    ) -> None:
        """BERT is told the count and adds up the means; with `accepts_loss_kwargs = False` Trainer divides itself."""
        model, data = bert(), classified(8)
        if listens is not None:
            setattr(model, "accepts_loss_kwargs", listens)  # noqa: B010 - nn.Module's attributes are tensors to mypy
        run = trained(
            tmp_path,
            model,
            data,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=parts,
            max_grad_norm=clip,
        )
        found = site(run, data)
        assert_is_curvature(found, mean_gradient(model, torch.utils.data.default_collate(data.items)), 8)
        assert found.record.details["batch"] == "8"
        assert (found.record.unit, found.record.examples, found.record.units) == ("example", 8, 8)

    @pytest.mark.parametrize("clip", [0.0, 1e-3])
    @pytest.mark.parametrize(("size", "parts"), [(8, 1), (4, 2)])
    def test_a_language_model_that_listens(self, tmp_path: Path, size: int, parts: int, clip: float) -> None:
        model, data = gpt2(), causal(8)
        changes: dict[str, Any] = {
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": parts,
            "max_grad_norm": clip,
        }
        found = site(trained(tmp_path, model, data, collate=pad, **changes), data, collate=pad)
        tokens = sum(len(each["labels"]) - 1 for each in data.items)
        assert_is_curvature(found, mean_gradient(model, pad(data.items)), tokens)
        assert (found.record.details["batch"], found.record.unit) == (str(tokens), "token")
        assert (found.record.examples, found.record.units) == (8, tokens)

    def test_the_same_by_estimate_adam(self, tmp_path: Path) -> None:
        """With params that move, and Trainer's own optimizer and data order."""
        model, data = bert(), classified(10)
        run = trainer(tmp_path, model, data, [], max_grad_norm=0.0, per_device_train_batch_size=3)
        run.train()
        own = run.optimizer.optimizer  # in Accelerate's wrapper
        expected = adam(
            parameters_of(model), Moments.of(own, model.named_parameters()), run=AdamRun(3, examples=10, units=10)
        )
        found = site(run, data)
        assert_same(entries(found), entries(expected))
        assert_same(found.center, expected.center)
        assert found.record == expected.record

    def test_fewer_examples_than_a_batch_and_counted_on_some(self, tmp_path: Path) -> None:
        model, data = bert(), classified(5)
        run = trainer(tmp_path, model, data, [], max_grad_norm=0.0, per_device_train_batch_size=8)
        run.train()
        assert site(run, data).record.details["batch"] == "5"
        language, words = gpt2(), causal(40)
        run = trainer(tmp_path, language, words, [], max_grad_norm=0.0, collate=pad)
        run.train()
        tokens = sum(len(each["labels"]) - 1 for each in words.items)
        every, some = (site(run, words, collate=pad, max_examples=most).record for most in (None, 9))
        assert every.details["batch"] == str(round(tokens / 10))
        assert every.units == tokens
        assert 4 <= int(some.details["batch"]) <= 20

    def test_frozen_parameters(self, tmp_path: Path) -> None:
        model, data = bert(), classified(8)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("classifier"))
        run = trainer(tmp_path, model, data, [], max_grad_norm=0.0)
        run.train()
        assert set(site(run, data).center) == {"classifier.weight", "classifier.bias"}


class TestClip:
    def arguments(self, **changes: Any) -> "transformers.TrainingArguments":  # noqa: ANN401 - settings of all types
        return transformers.TrainingArguments("out", use_cpu=True, report_to="none", **changes)

    def test_no_clipping(self) -> None:
        assert clip_of(self.arguments(max_grad_norm=0.0), transformers.TrainerState(), 0.9) == 1.0

    def test_late_steps_count_more(self) -> None:
        log = [
            {"grad_norm": 4.0, "step": 1},
            {"loss": 1.0, "step": 2},
            {"grad_norm": 0.5, "step": 3},
            {"grad_norm": math.inf, "step": 3},
        ]
        state = transformers.TrainerState(global_step=3, log_history=log)
        expected = math.sqrt((0.5**2 * 0.25**2 + 1) / (0.5**2 + 1))
        assert clip_of(self.arguments(max_grad_norm=1.0), state, 0.5) == pytest.approx(expected, rel=1e-5)

    def test_a_factor_from_the_user(self, tmp_path: Path) -> None:
        model, data = bert(), classified(8)
        run = trainer(tmp_path, model, data, [], max_grad_norm=1e-3)  # and no log
        run.train()
        with pytest.raises(
            ParamsError,
            match=r"clipped to 0.001 and no norm of them is in the log; give clip=..., or estimate='fisher'",
        ):
            site(run, data)
        once, twice = (site(run, data, clip=clip) for clip in (1.0, 0.5))
        assert_close(entries(twice), {name: tensor * 4 for name, tensor in entries(once).items()}, 1e-6)


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"logging_strategy": "no"},
                "clipped to 1 and their norms will not be logged.*; set logging_steps to a fraction",
            ),
            (
                {"logging_strategy": "steps", "logging_steps": 500},
                "set logging_steps to a fraction of the run, max_grad_norm=0, clip=...",
            ),
            ({"logging_strategy": "steps", "logging_steps": 2}, None),
            ({"logging_strategy": "epoch"}, None),
            ({"logging_strategy": "no", "max_grad_norm": 0.0}, None),
        ],
    )
    def test_clipping_without_a_trace(self, tmp_path: Path, changes: dict[str, Any], message: str | None) -> None:
        args = transformers.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", max_steps=10, **changes)
        state = transformers.TrainerState(max_steps=10)
        state.compute_steps(args, 10)
        optimizer = torch.optim.AdamW(bert().parameters())
        check_adam(args, state, optimizer, 0.5)
        if message is None:
            check_adam(args, state, optimizer, None)
            return
        with pytest.raises(ParamsError, match=message):
            check_adam(args, state, optimizer, None)

    @pytest.mark.parametrize(
        ("kind", "settings", "message"),
        [
            (
                torch.optim.SGD,
                {},
                "SGD does not keep the second moment that estimate='adam' needs; train with AdamW, or",
            ),
            (torch.optim.Adafactor, {}, "Adafactor does not keep the second moment"),
            (torch.optim.Adam, {"weight_decay": 0.1}, "Adam's weight decay is among the gradients that it squares"),
            (torch.optim.Adam, {}, None),
            (torch.optim.AdamW, {"weight_decay": 0.1}, None),
        ],
    )
    def test_other_optimizers(self, kind: Any, settings: dict[str, Any], message: str | None) -> None:  # noqa: ANN401 - a class
        args = transformers.TrainingArguments("out", use_cpu=True, report_to="none", max_grad_norm=0.0)
        optimizer = kind(bert().parameters(), **settings)
        if message is None:
            check_adam(args, transformers.TrainerState(), optimizer, None)
            return
        with pytest.raises(ParamsError, match=message):
            check_adam(args, transformers.TrainerState(), optimizer, None)

    def test_a_mean_over_tokens_is_not_one_over_examples(self, tmp_path: Path) -> None:
        model, data = gpt2(), causal(8)
        run = trained(tmp_path, model, data, collate=pad)
        with pytest.raises(
            ParamsError, match="of a mean over label tokens, not examples; give unit='token', or estimate='fisher'"
        ):
            site(run, data, collate=pad, unit="example")

    def test_a_model_that_went_back(self, tmp_path: Path) -> None:
        model, data = bert(), classified(8)
        run = trained(tmp_path, model, data)
        run.args.load_best_model_at_end, run.state.best_global_step = True, 3
        with pytest.raises(ParamsError, match="the model went back to its best step 3, Adam's moments are of step 4"):
            site(run, data)
        run.state.best_global_step = 4
        assert site(run, data).record.estimator == "adam"

    def test_a_parameter_without_moments(self, tmp_path: Path) -> None:
        model, data = bert(), classified(8)
        model.register_parameter("idle", nn.Parameter(torch.ones(2)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="torch")
            run = trained(tmp_path, model, data)
        with pytest.raises(
            ParamsError, match="has no second moment for idle; name what was frozen, freeze what has no gradient"
        ):
            site(run, data)
