"""The models of somebody's loop: frozen, adapted, wrapped, in half precision, sharded."""

from types import SimpleNamespace
from typing import Literal

import peft
import pytest
import torch
import transformers
from accelerate import Accelerator
from torch import nn

from foretaste.errors import ParamsError, TaskError
from foretaste.estimate.fisher import fisher
from foretaste.params import parameters_of
from foretaste.posterior.site import GaussianSite
from foretaste.sources.loop import capture, describe_site, task_of, unwrapped
from foretaste.sources.loop_batches import below_adapter
from foretaste.task import Batch
from laws import assert_close, assert_same
from loops import (
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
    shifted,
    task,
)

SEED = 5

peft_warns = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # peft asks transformers


class TestModels:
    def test_frozen_parameters_are_left_out(self) -> None:
        model = bert()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("classifier"))
        state = State(model)
        found = capture(model, classified(5))
        state.assert_same()
        assert set(found.center) == set(entries(found)) == {"classifier.weight", "classifier.bias"}
        assert found.record.details["trained"] == f"2 of {len(parameters_of(model))} tensors"

    def test_nothing_is_trained(self) -> None:
        with pytest.raises(ParamsError, match="has no parameter that is trained"):
            capture(bert().requires_grad_(False), classified(5))

    @peft_warns
    def test_an_adapter(self) -> None:
        torch.manual_seed(0)
        config = peft.LoraConfig(
            r=2, target_modules=["query", "value"], modules_to_save=["classifier"], lora_dropout=0.5
        )
        model = peft.get_peft_model(bert(), config)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter)
        state = State(model)
        found = capture(model, classified(9), batch_size=4, seed=SEED)
        state.assert_same()
        assert set(found.center) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert all("lora_" in name or "modules_to_save" in name for name in found.center)
        assert all(float(tensor.sum()) > 0 for tensor in entries(found).values())
        assert found.record.details["adapter"] == "LORA"
        assert (found.record.details["model"], found.record.details["trained"][:5]) == (
            "BertForSequenceClassification",
            "6 of ",
        )
        made = task(classified(9), predict=no_labels, names=frozenset(found.center))
        assert_sites_equal(found, fisher(model, None, made, generator=seeded(SEED), batch_size=4))

    @peft_warns
    def test_an_adapter_of_a_causal_model(self) -> None:
        model = peft.get_peft_model(gpt2(), peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
        made = task_of(model, causal(5), collate=pad)
        assert_same(made.batch(made.train, [0, 1], torch.device("cpu")), dict(shifted(causal(5).items[:2])))

    def test_bf16(self) -> None:
        model = bert().to(torch.bfloat16)
        found = capture(model, classified(9), labels="exact")
        assert {tensor.dtype for tensor in found.center.values()} == {torch.bfloat16}
        assert {tensor.dtype for tensor in entries(found).values()} == {torch.float32}
        assert found.record.details["dtype"] == "bfloat16"
        exact = entries(capture(bert(), classified(9), labels="exact"))
        seen = [name for name in exact if "key.bias" not in name]  # which softmax does not see: nothing but rounding
        assert_close({name: entries(found)[name] for name in seen}, {name: exact[name] for name in seen}, 0.1)

    def test_a_model_in_mixed_precision_is_taken_in_its_own(self) -> None:
        model = bert()
        expected = capture(model, classified(9), seed=SEED)
        prepared = Accelerator(cpu=True, mixed_precision="bf16").prepare_model(model)
        state = State(prepared)
        batch = torch.utils.data.default_collate(classified(2).items)
        before = prepared(**batch).logits
        found = capture(prepared, classified(9), seed=SEED)
        state.assert_same()
        assert_sites_equal(found, expected)
        assert torch.equal(prepared(**batch).logits, before)
        with unwrapped(prepared) as own:
            assert not torch.equal(own(**batch).logits, before)

    @pytest.mark.filterwarnings(
        "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"
    )  # torch.compile imports it
    def test_wrappers(self) -> None:
        model = network()
        expected = capture(model, pairs(), seed=SEED)
        for wrapped in (nn.DataParallel(model), torch.compile(model), nn.DataParallel(nn.DataParallel(model))):
            assert isinstance(wrapped, nn.Module)
            assert_sites_equal(capture(wrapped, pairs(), seed=SEED), expected)

    def test_an_error_puts_everything_back(self) -> None:
        prepared = Accelerator(cpu=True, mixed_precision="bf16").prepare_model(bert())
        state = State(prepared)
        with pytest.raises(TaskError):
            capture(prepared, [{"input_ids": torch.ones(3).long()}])
        state.assert_same()

    @pytest.mark.parametrize("kind", ["fsdp", "zero"])
    def test_sharded_params_are_refused(self, kind: str) -> None:
        model = nn.Linear(3, 2)
        if kind == "fsdp":
            model.register_parameter("_flat_param", nn.Parameter(torch.zeros(3)))
        else:
            model.weight.ds_id = 3  # type: ignore[attr-defined] # as DeepSpeed marks it
        with pytest.raises(
            ParamsError,
            match=r"is sharded over processes .* load it in one process and call foretaste.sources.loop.capture",
        ):
            capture(model, pairs())


class TestDescribed:
    def test_an_adapter_is_named(self) -> None:
        model = nn.Linear(1, 1)
        model.peft_config = {"default": SimpleNamespace(peft_type=peft.PeftType.LORA)}  # type: ignore[assignment]
        site = describe_site(GaussianSite.flat(parameters_of(model)), model, seed="3")
        assert site.record.details == {
            "model": "Linear",
            "dtype": "float32",
            "trained": "2 of 2 tensors",
            "adapter": "LORA",
            "seed": "3",
        }

    @peft_warns
    def test_below_an_adapter(self) -> None:
        model = bert()
        assert below_adapter(model) is model
        config = peft.LoraConfig(r=2, target_modules=["query"])
        assert isinstance(below_adapter(peft.get_peft_model(model, config)), transformers.BertForSequenceClassification)


class TestMultipleChoice:
    """Every example has several rows in the layers, one for each choice: inputs `[B, C, S]`, logits `[B, C]`."""

    def model_and_data(self) -> tuple[nn.Module, list[dict[str, torch.Tensor]]]:
        torch.manual_seed(2)
        sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        model = transformers.BertForMultipleChoice(
            transformers.BertConfig(vocab_size=20, initializer_range=0.5, **sizes)
        ).eval()
        return model, [
            {"input_ids": torch.randint(20, (3, 5)), "labels": torch.tensor(place % 3)} for place in range(6)
        ]

    def test_the_curvature_is_that_of_every_example_by_itself(self) -> None:
        """Expect the squared gradients of each label's loss, times its probability, one example at a time."""
        model, data = self.model_and_data()
        expected = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
        for example in data:
            logits = model(input_ids=example["input_ids"][None]).logits[0]
            for label, chance in enumerate(logits.softmax(0).tolist()):
                gradients = torch.autograd.grad(
                    -logits.log_softmax(0)[label], list(model.parameters()), retain_graph=True, allow_unused=True
                )
                for (name, _), gradient in zip(model.named_parameters(), gradients, strict=True):
                    if gradient is not None:
                        expected[name] += chance * gradient.square() / len(data)
        found = entries(capture(model, data, labels="exact", batch_size=4))
        assert set(found) == set(expected)
        for name, tensor in expected.items():
            assert torch.allclose(found[name], tensor, rtol=1e-3, atol=1e-7), name
        assert float(found["bert.encoder.layer.0.output.dense.weight"].sum()) > 0

    def test_kronecker(self) -> None:
        model, data = self.model_and_data()
        site = capture(model, data, estimate="kfac", labels="exact", batch_size=4)
        assert site.record.examples == 6


class TestLossesThatAreNoCrossEntropy:
    @pytest.mark.parametrize("estimate", ["fisher", "kfac"])
    def test_one_logit(self, estimate: Literal["fisher", "kfac"]) -> None:
        """Trained by binary cross-entropy; with both classes predicted it is right."""
        torch.manual_seed(0)
        model, data = nn.Linear(3, 1), [(torch.randn(3), place % 2) for place in range(8)]
        with pytest.raises(TaskError, match="have a single class, whose cross-entropy is 0 whatever the model"):
            capture(model, data, estimate=estimate)

        def both(model: nn.Module, batch: Batch) -> torch.Tensor:
            z = model(batch["inputs"])
            return torch.cat([torch.zeros_like(z), z], -1)

        found = entries(capture(model, data, labels="exact", predict=both))
        inputs = torch.stack([each for each, _ in data])
        chance = torch.sigmoid(model(inputs))
        assert torch.allclose(
            found["weight"], (chance * (1 - chance) * inputs.square()).mean(0, keepdim=True), rtol=1e-4
        )

    def test_one_logit_of_a_transformers_model(self) -> None:
        sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        model = transformers.BertForSequenceClassification(
            transformers.BertConfig(vocab_size=20, num_labels=1, **sizes)
        )
        with pytest.raises(TaskError, match="have a single class"):
            capture(model, [{"input_ids": torch.randint(20, (5,)), "labels": place % 2} for place in range(6)])

    @pytest.mark.parametrize("place", [0, 7])
    def test_labels_outside_the_classes(self, place: int) -> None:
        data = [(torch.randn(3), 5 if index == place else index % 2) for index in range(8)]
        with pytest.raises(TaskError, match="label 5 is not one of the 2 classes, 0 to 1"):
            capture(nn.Linear(3, 2), data, batch_size=2)
