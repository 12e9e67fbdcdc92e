"""Adapters read, added up and written here, against PEFT's own forward passes, merges and concatenation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor, nn

import checkpoints
from foretaste.combine import combine
from foretaste.export.adapter import write_adapter
from foretaste.lora import Adapter, delta
from foretaste.params import average
from foretaste.sources.adapter import check_adapters, open_adapter
from foretaste.sources.checkpoint import open_checkpoint
from foretaste.sources.preflight_adapters import base_tensors
from foretaste.weights import TaskWeights, corners

peft = pytest.importorskip("peft", reason="an independent sum: pip install peft")

# Warnings of making adapters; that those written here load without one is part of the tests.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Setting `save_embedding_layers`:UserWarning",
    "ignore:.*tie_word_embeddings.*:UserWarning",
    "ignore:You have requested `ensure_weight_tying`:UserWarning",
    "ignore:OLoRA changes the base weights:UserWarning",
    "ignore:.is_gradient_checkpointing:FutureWarning",
)

TASKS = ("a", "b", "c")
WEIGHTS = TaskWeights(TASKS, (0.5, 0.3, 0.2))


@dataclass(frozen=True)
class Case:
    """A kind of model and what of it adapters change: the first module everywhere, the last by one adapter alone."""

    auto: type
    targets: tuple[str, ...]
    task: str | None = None


CASES = {
    "gpt2": Case(transformers.AutoModelForCausalLM, ("c_attn", "wte", "c_proj"), "CAUSAL_LM"),
    "llama": Case(transformers.AutoModelForCausalLM, ("q_proj", "embed_tokens", "down_proj", "lm_head"), "CAUSAL_LM"),
    "t5": Case(transformers.AutoModelForSeq2SeqLM, ("q", "wi", "wo"), "SEQ_2_SEQ_LM"),
    "bert": Case(transformers.AutoModelForSequenceClassification, ("query", "word_embeddings", "dense"), "SEQ_CLS"),
    "vit": Case(transformers.AutoModelForImageClassification, ("q_proj", "projection", "fc1")),
}


@dataclass(frozen=True)
class Bench:
    """A model on disk with three adapters: other ranks, alphas, scalings and modules."""

    case: Case
    base: Path
    folders: Mapping[str, Path]

    def model(self) -> nn.Module:
        found: nn.Module = self.case.auto.from_pretrained(self.base).double().eval()  # type: ignore[attr-defined]
        return found

    def adapted(self, folder: Path) -> nn.Module:
        found: nn.Module = peft.PeftModel.from_pretrained(self.model(), folder).double().eval()
        return found


def settings(case: Case, **options: object) -> Mapping[str, Mapping[str, object]]:
    common = {"task_type": case.task, "fan_in_fan_out": "c_attn" in case.targets, "init_lora_weights": False, **options}
    if case.auto is transformers.AutoModelForImageClassification:
        common["modules_to_save"] = ["classifier"]
    first, second = case.targets[:2]
    return {
        "a": {"r": 2, "lora_alpha": 4, "target_modules": list(case.targets[:-1]), **common},
        "b": {
            "r": 3,
            "lora_alpha": 5,
            "target_modules": list(case.targets),
            "rank_pattern": {first: 5},
            "alpha_pattern": {second: 7},
            "use_rslora": True,
            **common,
        },
        "c": {"r": 1, "lora_alpha": 1, "target_modules": [first], **common},
    }


def trained(
    base: Path, case: Case, folder: Path, options: Mapping[str, object], seed: int, dtype: torch.dtype = torch.float32
) -> Path:
    """An adapter as it could come out of training: no factor is zero, and full tensors moved."""
    torch.manual_seed(seed)
    model = peft.get_peft_model(case.auto.from_pretrained(base), peft.LoraConfig(**options))  # type: ignore[attr-defined]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * (0.3 if "lora" in name else 0.1))
    model.to(dtype).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=list(CASES))
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder, case = tmp_path_factory.mktemp(request.param), CASES[request.param]
    transformers.utils.logging.disable_progress_bar()
    base: Path = getattr(checkpoints, request.param)(folder / "base")
    with torch.random.fork_rng([]):
        folders = {
            task: trained(base, case, folder / task, said, seed)
            for seed, (task, said) in enumerate(settings(case).items())
        }
        yield Bench(case, base, folders)


def inputs(model: nn.Module) -> Mapping[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    config = getattr(model, "config")  # noqa: B009
    if config.model_type == "vit":
        return {"pixel_values": torch.randn(3, 3, 8, 8, generator=generator).double()}
    tokens = torch.randint(config.vocab_size, (3, 7), generator=generator)
    return (
        {"input_ids": tokens, "decoder_input_ids": tokens[:, :4]}
        if config.model_type == "t5"
        else {"input_ids": tokens}
    )


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(**inputs(model)).logits
    return found


def summed_by_peft(bench: Bench, weights: TaskWeights, folders: Mapping[str, Path]) -> nn.Module:
    """The model plus the weighted dense updates in float64, each as PEFT merges it into its model."""
    model = bench.model()
    total = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tied = (
        model.get_parameter("lm_head.weight") is model.get_parameter("transformer.wte.weight")
        if "gpt2" in str(bench.base)
        else False
    )
    for task, folder in folders.items():
        merged = bench.adapted(folder).merge_and_unload().state_dict()  # type: ignore[operator]
        for name, tensor in model.state_dict().items():
            if not (
                tied and name == "lm_head.weight"
            ):  # an adapter of the embeddings leaves the output layer alone; PEFT's merge does not
                total[name] += weights[task] * (merged[name] - tensor)
    if tied:
        model.get_submodule("lm_head").weight = nn.Parameter(total["lm_head.weight"].clone())
    model.load_state_dict(total)
    return model


def written(bench: Bench, weights: TaskWeights, target: Path) -> nn.Module:
    adapters = {task: open_adapter(folder) for task, folder in bench.folders.items() if task in weights}
    check_adapters(adapters)
    write_adapter(target, combine(adapters, weights).adapter, {"weights": weights.key})
    return bench.adapted(target)


@pytest.mark.parametrize("corner", corners(TASKS), ids=str)
def test_a_corner_is_that_adapter(bench: Bench, corner: TaskWeights, tmp_path: Path) -> None:
    assert corner.corner is not None
    expected = bench.adapted(bench.folders[corner.corner])
    assert not logits(expected).allclose(logits(bench.model()))
    assert logits(written(bench, corner, tmp_path / "out")).equal(logits(expected))


@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (0.0, 0.9, 0.1), (0.25, 0.75, 0.0), (1e-6, 0.0, 1 - 1e-6)])
def test_a_sum_is_the_sum_of_dense_updates(bench: Bench, shares: Sequence[float], tmp_path: Path) -> None:
    weights = TaskWeights(TASKS, shares)
    expected = logits(summed_by_peft(bench, weights, bench.folders))
    torch.testing.assert_close(logits(written(bench, weights, tmp_path / "out")), expected, rtol=1e-5, atol=1e-5)


def test_the_dense_update_is_that_of_peft(bench: Bench) -> None:
    for task, folder in bench.folders.items():
        adapter, model = open_adapter(folder), bench.adapted(folder)
        for name in adapter.modules:
            module = model.get_submodule(f"base_model.model.{name}")
            expected = module.get_delta_weight("default")  # type: ignore[operator]
            is_conv1d = isinstance(module.get_base_layer(), transformers.pytorch_utils.Conv1D)  # type: ignore[operator]
            found = delta(adapter, name, transposed=is_conv1d).double()
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, msg=f"{task} {name}")


def test_concatenation_agrees_where_it_is_right(bench: Bench, tmp_path: Path) -> None:
    """PEFT's ``cat`` takes the scaling of each adapter into account, but for rsLoRA's, and of linear layers."""
    plain: dict[str, object] = {
        "use_rslora": False,
        "modules_to_save": None,
        "task_type": None,
        "rank_pattern": {},
        "alpha_pattern": {},
    }
    said = {
        task: {**each, **plain, "target_modules": list(bench.case.targets[:1])}
        for task, each in settings(bench.case).items()
    }
    folders = {
        task: trained(bench.base, bench.case, tmp_path / task, each, seed)
        for seed, (task, each) in enumerate(said.items())
    }
    model = peft.PeftModel.from_pretrained(bench.model(), folders["a"], adapter_name="a")
    for task in TASKS[1:]:
        model.load_adapter(folders[task], adapter_name=task)
    model.add_weighted_adapter(list(TASKS), list(WEIGHTS.shares), "sum", combination_type="cat")
    model.set_adapter("sum")
    found = written(Bench(bench.case, bench.base, folders), WEIGHTS, tmp_path / "out")
    torch.testing.assert_close(logits(found), logits(model.double().eval()), rtol=1e-5, atol=1e-5)


def test_full_rank_reproduces_and_less_is_told(bench: Bench) -> None:
    adapters = {task: open_adapter(folder) for task, folder in bench.folders.items()}
    exact = combine(adapters, WEIGHTS).adapter
    for rank in (1, 2, 4, 6, 8, 9, 100):
        found = combine(adapters, WEIGHTS, rank=rank)
        total, lost = 0.0, 0.0
        for name in exact.modules:
            dense, near = delta(exact, name).double(), delta(found.adapter, name).double()
            error = float((dense - near).norm() / dense.norm())
            best = torch.linalg.svdvals(dense.flatten(1))[rank:].norm() / dense.norm()
            assert found.adapter.modules[name].rank <= rank
            assert found.errors[name] == pytest.approx(error, rel=1e-4, abs=1e-6)
            assert found.errors[name] == pytest.approx(float(best), rel=1e-4, abs=1e-6)
            total, lost = total + float(dense.norm() ** 2), lost + float((dense - near).norm() ** 2)
        assert found.error == pytest.approx((lost / total) ** 0.5, rel=1e-4, abs=1e-6)
    assert found.error == 0


def test_more_rank_is_never_worse(bench: Bench) -> None:
    adapters = {task: open_adapter(folder) for task, folder in bench.folders.items()}
    errors = [combine(adapters, WEIGHTS, rank=rank).error for rank in range(1, 10)]
    assert all(more <= less for less, more in pairwise(errors))
    assert errors[0] > 0.1


def test_ranks_that_differ_are_loaded(bench: Bench, tmp_path: Path) -> None:
    adapters = {task: open_adapter(folder) for task, folder in bench.folders.items()}
    names = list(combine(adapters, WEIGHTS).adapter.modules)
    found = combine(adapters, WEIGHTS, rank={name: 1 + place % 3 for place, name in enumerate(names)}).adapter
    write_adapter(tmp_path / "out", found, {})
    model = bench.adapted(tmp_path / "out")
    for name in names:
        module = model.get_submodule(f"base_model.model.{name}")
        is_conv1d = isinstance(module.get_base_layer(), transformers.pytorch_utils.Conv1D)  # type: ignore[operator]
        expected = module.get_delta_weight("default")  # type: ignore[operator]
        torch.testing.assert_close(delta(found, name, transposed=is_conv1d).double(), expected, rtol=1e-5, atol=1e-6)


def test_averaging_factors_apart_is_far_off(bench: Bench, tmp_path: Path) -> None:
    """Same ranks and one scaling, and still ``mean(B) mean(A)`` is not the mean of ``B A``."""
    options = settings(bench.case)["a"]
    folders = {task: trained(bench.base, bench.case, tmp_path / task, options, seed) for seed, task in enumerate(TASKS)}
    adapters = {task: open_adapter(folder) for task, folder in folders.items()}
    exact = combine(adapters, WEIGHTS).adapter
    for name in exact.modules:
        pairs = [(WEIGHTS[task], adapter.modules[name]) for task, adapter in adapters.items()]
        a, b = average((share, own.a) for share, own in pairs), average((share, own.b) for share, own in pairs)
        naive = delta(Adapter({name: replace(pairs[0][1], a=a, b=b)}), name)
        assert float((naive - delta(exact, name)).norm() / delta(exact, name).norm()) > 0.3, name


def test_bfloat16_adapters(bench: Bench, tmp_path: Path) -> None:
    """Their numbers are read as they are, and the sum is not rounded to their type."""
    said = settings(bench.case)
    folders = {
        task: trained(bench.base, bench.case, tmp_path / task, each, seed, torch.bfloat16)
        for seed, (task, each) in enumerate(said.items())
    }
    assert {own.a.dtype for folder in folders.values() for own in open_adapter(folder).modules.values()} == {
        torch.bfloat16
    }
    narrow = Bench(bench.case, bench.base, folders)
    full = {name for folder in folders.values() for name in open_adapter(folder).full}
    expected = logits(summed_by_peft(narrow, WEIGHTS, folders))
    tolerance = 2e-2 if full else 1e-5  # full tensors keep their type
    torch.testing.assert_close(
        logits(written(narrow, WEIGHTS, tmp_path / "out")), expected, rtol=tolerance, atol=tolerance
    )


def test_olora_converted_by_peft_is_plain(tmp_path: Path) -> None:
    """The way out that the refusal names leads out."""
    case = CASES["bert"]
    base = checkpoints.bert(tmp_path / "base")
    options = {"r": 2, "lora_alpha": 2, "target_modules": ["query"], "init_lora_weights": "olora"}
    model = peft.get_peft_model(case.auto.from_pretrained(base), peft.LoraConfig(**options))  # type: ignore[attr-defined]
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(tmp_path / "initial")
    model.peft_config["default"].init_lora_weights = "olora"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora" in name:
                parameter.add_(torch.randn_like(parameter))
    expected = logits(model.double().eval())
    model.float().save_pretrained(
        tmp_path / "plain", path_initial_model_for_weight_conversion=str(tmp_path / "initial")
    )
    bench = Bench(case, base, {"a": tmp_path / "plain"})
    found = logits(written(bench, TaskWeights(["a"], [1.0]), tmp_path / "out"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


UNLIKE: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "one saves its embeddings": {
        "a": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
        "b": {"target_modules": ["q_proj"]},
    },
    "one saves its output layer": {
        "a": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        "b": {"target_modules": ["v_proj"]},
    },
    "whole here, factors there": {
        "a": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
        "b": {"target_modules": ["lm_head", "embed_tokens"]},
    },
    "one saves norms by the end of their names": {
        "a": {"target_modules": ["q_proj"], "modules_to_save": ["norm"]},
        "b": {"target_modules": ["q_proj"]},
    },
    "one tied by PEFT": {
        "a": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        "b": {"target_modules": ["q_proj"]},
    },
}


def effective(model: nn.Module) -> dict[str, Tensor]:
    """The weights that PEFT's forward pass uses, layer by layer."""
    weights = {}
    for name, module in model.get_base_model().named_modules():  # type: ignore[operator]
        if hasattr(module, "modules_to_save"):
            weights[f"{name}.weight"] = module.modules_to_save["default"].weight.detach()
        elif hasattr(module, "get_delta_weight"):
            weights[f"{name}.weight"] = (
                module.get_base_layer().weight.detach() + module.get_delta_weight("default").detach()
            )
    return weights


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("unlike", list(UNLIKE))
def test_full_tensors_of_one_adapter_average_with_the_base(unlike: str, tied: bool, tmp_path: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(checkpoints.llama(tmp_path / "first"), tie_word_embeddings=tied)
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    case = Case(transformers.AutoModelForCausalLM, ("q_proj",), "CAUSAL_LM")
    common = {"r": 2, "task_type": "CAUSAL_LM", "init_lora_weights": False}
    folders = {
        task: trained(tmp_path / "base", case, tmp_path / task, {**common, **each}, 1)
        for task, each in UNLIKE[unlike].items()
    }
    bench, weights = Bench(case, tmp_path / "base", folders), TaskWeights("ab", (0.3, 0.7))
    adapters = {task: open_adapter(folder) for task, folder in folders.items()}
    tensors = base_tensors(open_checkpoint(tmp_path / "base"), adapters)
    write_adapter(tmp_path / "sum", combine(adapters, weights, base=tensors).adapter, {})
    of_task = {task: effective(bench.adapted(folder)) for task, folder in folders.items()}
    model = bench.model()
    own = {name: parameter.detach().clone() for name, parameter in model.named_parameters(remove_duplicate=False)}
    for name, tensor in own.items():
        mean = sum(weights[task] * of_task[task].get(name, tensor) for task in "ab")
        assert isinstance(mean, Tensor)
        model.get_submodule(name.removesuffix(".weight")).weight = nn.Parameter(mean)
    torch.testing.assert_close(logits(bench.adapted(tmp_path / "sum")), logits(model), rtol=1e-5, atol=1e-5)
