"""Experts for a study of a transformers model: checkpoints and adapters, loaded by transformers under the study's names."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from foretaste.errors import DataError
from foretaste.lora import Adapter, delta
from foretaste.params import Params, tensors_of
from foretaste.sources.adapter import open_adapter
from foretaste.sources.expert import Expert, fitted_to, read_tensors
from foretaste.sources.extra import transformers
from foretaste.sources.heads import Heads
from foretaste.sources.pretrained import Kind, pretrained, quiet
from foretaste.task import Task

__all__ = ["reader"]

_OWN_LABELS = "LABEL_"  # what transformers calls classes that nobody has named


def reader(path: str, kind: Kind) -> Callable[[nn.Module, Task, Expert], Params]:
    """How experts of this model are read.

    Args:
        path: The checkpoint folder or hub id of the pretrained model, which adapters are added to.
        kind: What the model does.

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
                _add(own, open_adapter(expert.folder), expert, needs_head=classes is not None)
            else:
                own = pretrained(str(expert.folder), kind, classes, whole=True)
                _check_labels(own, task, expert)
        return fitted_to(model, task, _renamed(model, task, own), expert.folder)

    return read


def _check_labels(own: nn.Module, task: Task, expert: Expert) -> None:
    """Classes in another order would be other classes."""
    assert isinstance(own, transformers.PreTrainedModel)
    said = {int(place): str(label) for place, label in own.config.id2label.items()} if task.classes else {}
    found = [said[place] for place in sorted(said)]
    if found and not all(label.startswith(_OWN_LABELS) for label in found) and found != list(task.classes):
        raise DataError(
            f"{expert.folder} has the labels {', '.join(found[:8])}, task {task.name!r} has {', '.join(task.classes[:8])}, in this order; "
            "list them under 'labels' in the recipe in the expert's order"
        )


def _add(model: nn.Module, adapter: Adapter, expert: Expert, *, needs_head: bool) -> None:
    """Put an adapter into its model's own params: exactly ``W + s B A``, and full tensors in place of the model's."""
    modules, own = dict(model.named_modules()), tensors_of(model)
    strange = [name for name in adapter.modules if name not in modules] + [name for name in adapter.full if _plain(name) not in own]
    if strange:
        raise DataError(f"{expert.folder} changes {', '.join(strange[:3])}, which this study's model does not have; was it trained on it?")
    if needs_head and not adapter.full:
        raise DataError(
            f"{expert.folder} has no head of its own (modules_to_save), and the pretrained model's is new; "
            "bring the merged model (PeftModel.merge_and_unload, then save_pretrained)"
        )
    for name in adapter.modules:
        module = modules[name]
        change = delta(adapter, name, transposed=isinstance(module, transformers.pytorch_utils.Conv1D))
        weight = own[f"{name}.weight"]
        if change.shape != weight.shape:
            raise DataError(f"{expert.folder} changes {name} by {list(change.shape)}, and it is {list(weight.shape)} in this study's model")
        weight.add_(change)
    for name, tensor in adapter.full.items():
        if tensor.shape != own[_plain(name)].shape:
            shapes = f"{list(tensor.shape)}, and it is {list(own[_plain(name)].shape)} in this study's model"
            raise DataError(f"{expert.folder} has {name} as {shapes}; are the labels others?")
        own[_plain(name)].copy_(tensor)


def _plain(name: str) -> str:
    """The model's name of a full tensor: PEFT repeats some below ``base_layer``."""
    return name.replace(".base_layer.", ".")


def _renamed(model: nn.Module, task: Task, own: nn.Module) -> Mapping[str, Tensor]:
    found = tensors_of(own)
    if not isinstance(model, Heads):
        return found
    head = next(head for head in model.head_names if model.names(head) == task.names)
    prefix = f"{own.base_model_prefix}."
    return {model.name_of(head, name, prefix): tensor for name, tensor in found.items()}
