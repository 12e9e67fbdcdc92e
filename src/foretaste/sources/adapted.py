"""Training by LoRA: tasks train thin factors beside frozen params, and their models are stored as adapters.

A layer's weight ``W`` becomes ``W + s B A`` with ``s = alpha / r`` (``alpha / sqrt(r)`` when rank-stabilised). Every
task begins with the same random ``A`` and with ``B = 0``. Merges add up the updates ``s B A``, not the factors
(`foretaste.sources.weight_space`); if ``A`` is not trained, they are sums of ``B``.

This module, `lora_targets` and `lora_weights` alone import PEFT, from the extra ``lora``.

References:
    LoRA: Low-Rank Adaptation of Large Language Models, Hu et al., 2021, https://arxiv.org/abs/2106.09685
    A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA, Kalajdzievski, 2023, https://arxiv.org/abs/2312.03732
    Improving LoRA in Privacy-preserving Federated Learning (A stays, B is averaged), Sun et al., 2024,
    https://arxiv.org/abs/2403.12313
"""

import json
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from foretaste.errors import DataError, MissingExtra
from foretaste.lora import WEIGHT, Adapter, Factors
from foretaste.one_line import one_line
from foretaste.params import Params, parameters_of, snapshot
from foretaste.sources.adapter import CONFIG, TENSORS, open_adapter
from foretaste.sources.adapter_form import config_of_adapter, tensors_of_adapter
from foretaste.sources.expert import Expert
from foretaste.sources.imported_updates import fitting_factors, keep_factors, read_whole
from foretaste.sources.kinds import kind_named
from foretaste.sources.lora_targets import Targets, at_targets, choose_targets, layers_for_factors
from foretaste.sources.lora_weights import factors_of, other_weights, weights_with_factors
from foretaste.sources.problem import Problem
from foretaste.sources.weight_space import WeightSpace
from foretaste.task import Task
from foretaste.updates import lent_update

try:
    import peft
    from peft.tuners.lora import LoraLayer
    from transformers import PreTrainedModel
    from transformers.pytorch_utils import Conv1D
except ImportError as error:  # pragma: no cover - the tests install the extra
    raise MissingExtra("finetuning by LoRA needs peft; install it with: pip install 'foretaste[lora]'") from error

__all__ = ["Checkpoint", "LoraPlan", "add_lora"]


@dataclass(frozen=True)
class LoraPlan:
    """The settings of LoRA: which layers get factors, and how.

    Args:
        r: Rank of the factors.
        alpha: Numerator of the scaling.
        targets: Names of layers or ends of names, ``all-linear``, or None for PEFT's choice for the architecture.
        dropout: Share of a layer's inputs that is hidden from its factors in training.
        rslora: Whether the scaling is ``alpha / sqrt(r)``.
        train_a: Whether A is trained too, not B alone.
    """

    r: int = 16
    alpha: float = 32.0
    targets: Targets = None
    dropout: float = 0.0
    rslora: bool = False
    train_a: bool = True

    __repr__ = one_line


@dataclass(frozen=True)
class Checkpoint:
    """The transformers checkpoint that adapters belong to.

    Args:
        path: Folder or hub id.
        kind: Name of the kind of model.
    """

    path: str
    kind: str


def add_lora(problem: Problem, plan: LoraPlan, *, seed: int = 0, base: Checkpoint | None = None) -> Problem:
    """Add LoRA factors to a problem's model, and return the problem whose tasks train them.

    New parameters and those of some tasks only, such as heads, are trained whole. All others are frozen.

    Args:
        problem: The problem. Its model gets the factors in place, and computes what it did before.
        plan: Which layers get factors, and how.
        seed: Seed of the factors A.
        base: The checkpoint of the model, which is written into adapters.

    Raises:
        DataError: A layer is missing or cannot have factors, or PEFT has no default layers for the architecture; the
            field is named.

    >>> from foretaste.sources.digits import digits
    >>> found = add_lora(digits(), LoraPlan(r=2, targets=["0", "2"]))
    >>> sorted(found.trained)
    ['0.lora_A.default.weight', '0.lora_B.default.weight', '2.lora_A.default.weight', '2.lora_B.default.weight']
    """
    model, own = problem.model, [problem.names_of(task) for task in problem.tasks]
    shared = frozenset.intersection(*own) - problem.fresh
    before = dict(model.named_parameters())
    whole = frozenset(name for name in problem.trained - shared if before[name].requires_grad)
    layers = layers_for_factors(model, shared)
    targets = choose_targets(model, layers, plan.targets)
    others = other_weights(layers, targets, before)
    _inject(model, plan, targets, seed)
    before_ids = {id(parameter) for parameter in before.values()}
    factors = {name: added for name, added in model.named_parameters() if id(added) not in before_ids}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in whole or (name in factors and (plan.train_a or not _is_a(name))))
    _widen(model, whole | set(factors))
    trained = frozenset(name for name in factors if plan.train_a or not _is_a(name))
    tasks = tuple(
        replace(task, names=trained | (whole & names)) for task, names in zip(problem.tasks, own, strict=True)
    )
    count = sum(added.numel() for name, added in model.named_parameters() if name in trained | whole)
    ends = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in targets))
    fact = f"LoRA of rank {plan.r}, layers: {len(targets)} ({ends}), {count:,} parameters trained"
    write, space = (
        partial(_write, plan=plan, base=base),
        WeightSpace(weights_with_factors(model, targets, plan.alpha, plan.rslora), others),
    )
    return replace(
        problem,
        tasks=tasks,
        facts=(*problem.facts, ("finetuned", fact)),
        save=write if base is None else _saver_beside(base, write),
        read=partial(_read, space=space, own_name=problem.own_name),
        fresh=whole,
        space=space,
    )


def _widen(model: nn.Module, names: Collection[str]) -> None:
    """Make parameters float32 where they have fewer digits; layers trained whole then get their inputs in float32."""
    for path, module in model.named_modules():
        own = {f"{path}.{local}".lstrip("."): parameter for local, parameter in module.named_parameters(recurse=False)}
        narrow = [p for name, p in own.items() if name in names and p.dtype in (torch.bfloat16, torch.float16)]
        for parameter in narrow:
            parameter.data = parameter.data.float()
        if narrow and not any(part in path for part in (".lora_", "lora_embedding")):
            module.register_forward_pre_hook(_floats_in)


def _floats_in(module: nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(
        value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value for value in inputs
    )


def _is_a(name: str) -> bool:
    return ".lora_A." in name or ".lora_embedding_A." in name


def _read(
    model: nn.Module, task: Task, expert: Expert, *, space: WeightSpace, own_name: Callable[[str], str]
) -> Params:
    """Read an adapter of any rank, scaling and layers."""
    if expert.kind != "adapter":
        raise DataError(
            f"{expert.folder} is no adapter, and this study trains by LoRA; import an adapter or remove finetune.method"
            " to merge whole models"
        )
    adapter, own = open_adapter(expert.folder), parameters_of(model, task.names)
    trained = {own_name(name): name for name in space.whole(own)}
    thin = {name: factors for name, factors in adapter.modules.items() if name + WEIGHT not in trained}
    names = space.weight_names(own_name)
    factors = fitting_factors(replace(adapter, modules=thin), names, space.update_shapes, expert.folder)
    return keep_factors(factors) | read_whole(adapter, trained, own, expert.folder)


def _inject(model: nn.Module, plan: LoraPlan, targets: Sequence[str], seed: int) -> None:
    config = peft.LoraConfig(
        r=plan.r,
        lora_alpha=plan.alpha,
        lora_dropout=plan.dropout,
        use_rslora=plan.rslora,
        target_modules=list(targets),
        fan_in_fan_out=_fan_in_fan_out(model, targets),
    )
    with torch.random.fork_rng([]), warnings.catch_warnings():
        torch.manual_seed(seed)
        warnings.simplefilter(
            "ignore"
        )  # of layers among the targets for which fan_in_fan_out is otherwise: PEFT puts it right
        try:
            peft.inject_adapter_in_model(config, model)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise at_targets(f"PEFT cannot put factors there: {error}") from error


def _fan_in_fan_out(model: nn.Module, targets: Sequence[str]) -> bool:
    return any(isinstance(model.get_submodule(name), Conv1D) for name in targets)


def _saver_beside(base: Checkpoint, write: Callable[[nn.Module, Path], None]) -> Callable[[nn.Module, Path], None]:
    """Return a function that saves an adapter with the tokenizer or image processor of its base."""
    from foretaste.sources.pretrained import saver  # a user's own model does not need its extra

    return saver(base.path, write)


def _write(model: nn.Module, folder: Path, plan: LoraPlan, base: Checkpoint | None) -> None:
    """Write the model's factors, or the updates that it is lent, and the modules trained whole, as PEFT stores them."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = list(_whole(model))
    modules = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    full = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if any(name.startswith(f"{path}.") for path in whole)
    }
    lent = {name: update for name, module in model.named_modules() if (update := lent_update(module)) is not None}
    factors = {**{name: _factors(module, plan) for name, module in modules.items() if name not in lent}, **lent}
    tensors = tensors_of_adapter(Adapter(factors, full))
    save_file(snapshot(tensors), folder / TENSORS, metadata={"format": "pt"})
    task_type = kind_named(base.kind).peft_type if base else None
    needs_origin = isinstance(model, PreTrainedModel) and task_type is None
    origin = (
        {"base_model_class": type(model).__name__, "parent_library": type(model).__module__} if needs_origin else None
    )
    peft.LoraConfig(
        r=plan.r,
        lora_alpha=plan.alpha,
        lora_dropout=plan.dropout,
        use_rslora=plan.rslora,
        target_modules=list(modules),
        fan_in_fan_out=any(isinstance(module.get_base_layer(), Conv1D) for module in modules.values()),
        modules_to_save=whole or None,
        task_type=task_type,
        auto_mapping=origin,
        base_model_name_or_path=base.path if base else None,
        inference_mode=True,
    ).save_pretrained(folder)
    if lent:
        written = json.loads((folder / CONFIG).read_text())
        config = config_of_adapter(Adapter(factors, full, written)) | {"modules_to_save": whole or None}
        (folder / CONFIG).write_text(json.dumps(config, indent=1, allow_nan=False) + "\n")


def _factors(module: LoraLayer, plan: LoraPlan) -> Factors:
    """Return the layer's own factors."""
    a, b, layout = factors_of(module)
    return Factors(a.detach(), b.detach(), plan.alpha, stabilised=plan.rslora, layout=layout)


def _whole(module: nn.Module, path: str = "") -> Iterator[str]:
    """Yield the largest modules that are trained whole, and batch norms, whose statistics training changes."""
    for name, child in module.named_children():
        own = list(child.named_parameters())
        if isinstance(child, LoraLayer):
            continue
        if isinstance(child, nn.modules.batchnorm._BatchNorm) or (
            own and all(parameter.requires_grad for _, parameter in own)
        ):
            yield path + name
        else:
            yield from _whole(child, f"{path}{name}.")
