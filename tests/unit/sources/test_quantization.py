"""Frozen weights of 4 or 8 bits under LoRA: outputs, curvature, training, identity and errors."""

import copy
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from bitsandbytes.functional import dequantize_4bit, int8_vectorwise_dequant
from torch import Tensor, nn

from checkpoints import Checkpoints, table, translations
from foretaste.errors import DataError, MissingExtra, RecipeError
from foretaste.estimate.estimators import EstimatePlan, Estimator, estimate_site
from foretaste.loading import load
from foretaste.params import Params, buffers_of, parameters_of, snapshot, swapped
from foretaste.quantized import is_quantized, quantized_layers, scales_of, weight_shape
from foretaste.recipe import parse
from foretaste.sources.adapted import LoraPlan, add_lora
from foretaste.sources.language import load as load_language
from foretaste.sources.language_metrics import metrics_named
from foretaste.sources.pretrained import pretrained
from foretaste.sources.problem import Problem
from foretaste.sources.quantization import options_for, quantized_as, widen
from foretaste.sources.request import Format, Quantization, TaskRequest
from foretaste.train.finetune import finetune
from foretaste.train.model_copy import copy_model
from foretaste.train.training import Training

TRAINING = Training(steps=12, batch_size=8, learning_rate=1e-2)
PLAN = LoraPlan(r=2, alpha=4.0, targets=["q_proj", "down_proj"])
BITS: tuple[Quantization, ...] = ("nf4", "int8")


def plans(folder: Path) -> list[TaskRequest]:
    files = {task: str(table(folder / f"{task}.jsonl", translations(9, seed, 1))) for seed, task in enumerate("ab")}
    columns = {"prompt": "source", "completion": "target"}
    return [TaskRequest(task, file, file, metrics_named(["perplexity"]), columns) for task, file in files.items()]


def quantised(folder: Path, checkpoint: Path, bits: Quantization) -> Problem:
    return load_language(str(checkpoint), "causal-lm", plans(folder), max_length=32, form=Format("float32", None, bits))


def dense(model: nn.Module, checkpoint: Path) -> nn.Module:
    """The model in float32 with the weights that the integers stand for, by bitsandbytes' own functions."""
    plain = pretrained(str(checkpoint), "causal-lm").eval()
    with torch.no_grad():
        for name, layer in quantized_layers(model).items():
            weight: Any = layer.weight
            if (state := getattr(weight, "quant_state", None)) is not None:
                values = dequantize_4bit(weight.data, state)
            else:
                values = int8_vectorwise_dequant(weight.data, scales_of(model)[f"{name}.scales"])
            plain.get_parameter(f"{name}.weight").copy_(values)
    return plain


def logits(problem: Problem, params: Params | None = None) -> Tensor:
    task = problem.tasks[0]
    batch = task.batch(task.train, [0, 1, 2], torch.device("cpu"))
    with torch.no_grad(), swapped(problem.model, params or {}):
        return task.predict(problem.model, batch)


def both(folder: Path, checkpoint: Path, bits: Quantization) -> tuple[Problem, Problem]:
    """The same study over quantised weights, and over the weights that they stand for."""
    own = quantised(folder, checkpoint, bits)
    plain = Problem(dense(own.model, checkpoint), own.tasks)
    return add_lora(own, PLAN), add_lora(plain, PLAN)


@pytest.mark.parametrize(("bits", "close"), [("nf4", 1e-4), ("int8", 0.05)])
class TestUnderLora:
    def test_outputs_are_those_of_the_weights_that_the_integers_stand_for(
        self, tmp_path: Path, checkpoints: Checkpoints, bits: Quantization, close: float
    ) -> None:
        own, plain = both(tmp_path, checkpoints.llama, bits)
        generator = torch.Generator().manual_seed(1)
        params = {
            name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in parameters_of(plain.model, plain.trained).items()
        }
        for given in (None, params, plain.space.center(plain.model, None, params)):
            expected = logits(plain, given)
            assert float((logits(own, given) - expected).norm() / expected.norm()) < close

    @pytest.mark.parametrize("estimator", ["fisher", "kfac"])
    def test_curvature_is_that_of_the_weights_that_the_integers_stand_for(
        self, tmp_path: Path, checkpoints: Checkpoints, bits: Quantization, close: float, estimator: Estimator
    ) -> None:
        def curvature(problem: Problem) -> Params:
            with problem.space.watched(problem.model, problem.tasks[0]) as task:
                site = estimate_site(problem.model, None, task, EstimatePlan(estimator, "exact"))
            generator = torch.Generator().manual_seed(2)
            shapes = {name: layer.shape for name, layer in weights.items()}
            return site.precision.apply(
                {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
            )

        own, plain = both(tmp_path, checkpoints.llama, bits)
        weights: Mapping[str, Any] = own.space.layers  # type: ignore[attr-defined]
        before = snapshot(parameters_of(own.model))
        image, expected = curvature(own), curvature(plain)
        assert set(image) == set(weights)
        for name, tensor in expected.items():
            assert float(tensor.norm()) > 0
            assert float((image[name] - tensor).norm() / tensor.norm()) < 2 * close
        assert all(torch.equal(tensor, before[name]) for name, tensor in parameters_of(own.model).items())

    def test_a_run_learns_as_over_the_weights_and_leaves_the_integers_alone(
        self, tmp_path: Path, checkpoints: Checkpoints, bits: Quantization, close: float
    ) -> None:
        problem, plain = both(tmp_path, checkpoints.llama, bits)
        frozen = snapshot(parameters_of(problem.model))
        run, expected = (finetune(own.model, None, own.tasks[0], TRAINING) for own in (problem, plain))
        assert run.history == pytest.approx(expected.history, rel=10 * close)
        assert sum(run.history[-3:]) < sum(run.history[:3])
        assert set(run.params) == set(problem.trained) | set(buffers_of(problem.model))
        assert all(torch.equal(tensor, frozen[name]) for name, tensor in parameters_of(problem.model).items())
        assert {tensor.dtype for tensor in run.params.values()} == {torch.float32}


@pytest.mark.parametrize("bits", BITS)
class TestLoading:
    def test_linear_layers_have_few_bits_and_the_shape_of_their_weights(
        self, tmp_path: Path, checkpoints: Checkpoints, bits: Quantization
    ) -> None:
        model, plain = (
            quantised(tmp_path, checkpoints.llama, bits).model,
            pretrained(str(checkpoints.llama), "causal-lm"),
        )
        layers = quantized_layers(model)
        assert any(name.endswith("q_proj") for name in layers)
        assert "lm_head" not in layers
        for name, layer in layers.items():
            assert is_quantized(layer)
            assert weight_shape(layer) == tuple(plain.get_parameter(f"{name}.weight").shape)
        assert quantized_as(model) == bits

    def test_facts_tell_the_format_and_count_true_parameters(
        self, tmp_path: Path, checkpoints: Checkpoints, bits: Quantization
    ) -> None:
        fact = dict(quantised(tmp_path, checkpoints.llama, bits).facts)["architecture"]
        count = sum(p.numel() for p in pretrained(str(checkpoints.llama), "causal-lm").parameters())
        assert fact == f"LlamaForCausalLM, {count:,} parameters in {bits}, the others in float32"

    def test_the_base_s_identity_has_the_scales(
        self, tmp_path: Path, checkpoints: Checkpoints, bits: Quantization
    ) -> None:
        """Twice a weight has the same integers."""
        model = transformers.LlamaForCausalLM.from_pretrained(checkpoints.llama)
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints.llama)
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight.mul_(2)
        model.save_pretrained(tmp_path / "twice")
        tokenizer.save_pretrained(tmp_path / "twice")
        one, same, other = (
            quantised(tmp_path, folder, bits) for folder in (checkpoints.llama, checkpoints.llama, tmp_path / "twice")
        )
        integers, others = parameters_of(one.model), parameters_of(other.model)
        assert all(torch.equal(tensor, others[name]) for name, tensor in integers.items())
        assert one.base() == same.base() != other.base()

    def test_a_layer_s_scales_are_the_same_after_it_was_called(
        self, tmp_path: Path, checkpoints: Checkpoints, bits: Quantization
    ) -> None:
        problem = quantised(tmp_path, checkpoints.llama, bits)
        before = problem.base()
        logits(problem)
        assert problem.base() == before
        assert len(scales_of(problem.model)) >= len(quantized_layers(problem.model))

    def test_runs_share_the_integers(self, tmp_path: Path, checkpoints: Checkpoints, bits: Quantization) -> None:
        problem = add_lora(quantised(tmp_path, checkpoints.llama, bits), PLAN)
        logits(problem)
        copied = copy_model(problem.model, problem.trained)
        one, other = quantized_layers(problem.model), quantized_layers(copied)
        assert one
        assert all(other[name].weight.data_ptr() == layer.weight.data_ptr() for name, layer in one.items())
        for name in problem.trained:
            assert copied.get_parameter(name).data_ptr() != problem.model.get_parameter(name).data_ptr()


def test_without_bitsandbytes_the_field_and_the_command_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    present = importlib.util.find_spec
    absent: Callable[[str], object] = lambda name: None if name == "bitsandbytes" else present(name)  # noqa: E731
    monkeypatch.setattr("foretaste.sources.quantization.importlib.util.find_spec", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'foretaste\[quantization\]'") as caught:
        options_for("nf4")
    assert caught.value.field == ("model", "quantization")


RECIPE = """
name: bits
model: {{source: transformers, path: {path}, kind: causal-lm, max_length: 32{more}}}
tasks:
  a: {{train: {data}/a.jsonl, validation: {data}/a.jsonl, prompt: source, completion: target}}
  b: {{train: {data}/b.jsonl, validation: {data}/b.jsonl, prompt: source, completion: target}}
"""


def test_weights_that_are_trained_have_all_their_bits(tmp_path: Path, checkpoints: Checkpoints) -> None:
    plans(tmp_path)
    text = RECIPE.format(path=checkpoints.llama, data=tmp_path, more=", quantization: nf4")
    with pytest.raises(RecipeError, match="this recipe trains them all; remove this, or set finetune"):
        load(parse(text), text, "study.yaml")


def test_a_checkpoint_that_is_quantised_is_for_lora(tmp_path: Path, checkpoints: Checkpoints) -> None:
    plans(tmp_path)
    problem = quantised(tmp_path, checkpoints.llama, "nf4")
    folder = tmp_path / "stored"
    problem.save(problem.model, folder)
    text = RECIPE.format(path=folder, data=tmp_path, more="")
    with pytest.raises((DataError, RecipeError), match="only LoRA can train it; set finetune"):
        load(parse(text), text, "study.yaml")
    text += "finetune: {method: lora, targets: [q_proj]}\n"
    again = load(parse(text), text, "study.yaml")
    assert quantized_as(again.model) == "nf4"
    assert torch.equal(logits(again), logits(problem))


def test_widening_keeps_integers(tmp_path: Path, checkpoints: Checkpoints) -> None:
    form = Format("bfloat16", None, "nf4")
    model = pretrained(str(checkpoints.llama), "causal-lm", form=form)
    assert torch.bfloat16 in {tensor.dtype for tensor in parameters_of(model).values()}
    kinds = {tensor.dtype for tensor in parameters_of(widen(copy.deepcopy(model))).values()}
    assert kinds == {torch.float32, torch.uint8}
