"""Experts for a study of a transformers model: checkpoints and adapters, read under the study's names."""

from collections.abc import Callable

from torch import Tensor, nn

from foretaste.errors import DataError
from foretaste.lora import Adapter, delta
from foretaste.params import Params, under_all_names
from foretaste.sources.adapter import open_adapter
from foretaste.sources.expert import Expert, fit_to_model, read_tensors
from foretaste.sources.extra import transformers
from foretaste.sources.heads import Heads
from foretaste.sources.pretrained import pretrained, quiet
from foretaste.task import Task

__all__ = ["reader"]

_OWN_LABELS = "LABEL_"  # the prefix of transformers' default names of classes


def reader(path: str, kind: str) -> Callable[[nn.Module, Task, Expert], Params]:
    """Return the function that reads experts of a model.

    Args:
        path: The checkpoint folder or hub id of the pretrained model, which adapters are added to.
        kind: Name of the kind of model.

    >>> callable(reader("no-checkpoint", "causal-lm"))
    True
    """

    def read(model: nn.Module, task: Task, expert: Expert) -> Params:
        if expert.kind == "tensors":
            return read_tensors(model, task, expert)
        classes = len(task.classes) or None
        with quiet():
            if expert.kind == "adapter":
                own = pretrained(path, kind, classes)
                params = _with_adapter(own, open_adapter(expert.folder), expert, needs_head=classes is not None)
            else:
                own = pretrained(str(expert.folder), kind, classes, whole=True)
                _check_labels(own, task, expert)
                params = under_all_names(own)
        return fit_to_model(model, task, _rename(model, task, own, params), expert.folder)

    return read


def _check_labels(own: nn.Module, task: Task, expert: Expert) -> None:
    """Check that an expert has the task's classes in the same order."""
    assert isinstance(own, transformers.PreTrainedModel)
    labels = {int(place): str(label) for place, label in own.config.id2label.items()} if task.classes else {}
    names = [labels[place] for place in sorted(labels)]
    if names and not all(label.startswith(_OWN_LABELS) for label in names) and names != list(task.classes):
        raise DataError(
            f"{expert.folder} has the labels {', '.join(names[:8])}, task {task.name!r} has"
            f" {', '.join(task.classes[:8])}, in this order; list them under 'labels' in the recipe in the expert's"
            " order"
        )


def _with_adapter(model: nn.Module, adapter: Adapter, expert: Expert, *, needs_head: bool) -> dict[str, Tensor]:
    """Add an adapter to a model's params as PEFT's forward pass does, and return them under all their names.

    PEFT loads ``X.base_layer.weight`` into the model, where tied parameters share it. Then a module of
    ``modules_to_save`` replaces the model's, and ``s B A`` is added to a module's weight. Both change that module
    alone, even if it is tied to another.

    Args:
        model: The pretrained model; ``base_layer`` tensors are copied into it.
        adapter: Factors and full tensors.
        expert: The expert, for errors.
        needs_head: Whether the adapter must have a head, because the model's is new.

    Raises:
        DataError: The adapter changes modules that the model lacks or has in other shapes.
    """
    modules, shared = dict(model.named_modules()), under_all_names(model)
    strange = [name for name in adapter.modules if name not in modules]
    strange += [name for name in adapter.full if _below_factors(name) not in shared]
    if strange:
        raise DataError(
            f"{expert.folder} changes {', '.join(strange[:3])}, which this study's model does not have; was it trained"
            " on it?"
        )
    replaced = {name: tensor for name, tensor in adapter.full.items() if _below_factors(name) == name}
    if needs_head and not replaced:
        raise DataError(
            f"{expert.folder} has no head of its own (modules_to_save), and the pretrained model's is new; "
            "import the merged model (PeftModel.merge_and_unload, then save_pretrained)"
        )
    _copy_into(
        shared, {_below_factors(name): tensor for name, tensor in adapter.full.items() if name not in replaced}, expert
    )
    params = {name: tensor.clone() for name, tensor in shared.items()}
    _copy_into(params, replaced, expert)
    for name in adapter.modules:
        change = delta(adapter, name, transposed=isinstance(modules[name], transformers.pytorch_utils.Conv1D))
        weight = params[f"{name}.weight"]
        if change.shape != weight.shape:
            raise DataError(
                f"{expert.folder} changes {name} by {list(change.shape)}, and it is {list(weight.shape)} in this"
                " study's model"
            )
        weight.add_(change)
    return params


def _copy_into(params: Params, tensors: Params, expert: Expert) -> None:
    for name, tensor in tensors.items():
        if tensor.shape != params[name].shape:
            shapes = f"{list(tensor.shape)}, and it is {list(params[name].shape)} in this study's model"
            raise DataError(
                f"{expert.folder} has {name} as {shapes}; does it have other labels, or another vocabulary?"
            )
        params[name].copy_(tensor)


def _below_factors(name: str) -> str:
    """Return the model's name of a full tensor; PEFT calls a layer with factors ``base_layer``."""
    return name.replace(".base_layer.", ".")


def _rename(model: nn.Module, task: Task, own: nn.Module, params: Params) -> Params:
    """Rename an expert's params to the study's names."""
    if not isinstance(model, Heads):
        return params
    head = next(head for head in model.head_names if model.names(head) == task.names)
    prefix = f"{own.base_model_prefix}."
    return {model.name_of(head, name, prefix): tensor for name, tensor in params.items()}
