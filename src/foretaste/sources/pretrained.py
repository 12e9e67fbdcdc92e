"""Pretrained transformers checkpoints, loaded whole, from safetensors only, and quietly."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from torch import nn

from foretaste.errors import DataError
from foretaste.names import first_few
from foretaste.sources import bfloat16
from foretaste.sources.checkpoint import INDEX, companion_files
from foretaste.sources.extra import datasets, transformers
from foretaste.sources.heads import Heads
from foretaste.sources.kinds import kind_named
from foretaste.sources.quantization import options_for, widen
from foretaste.sources.request import FLOAT32, Format

__all__ = [
    "at",
    "check_positions",
    "positions_of",
    "pretrained",
    "quiet",
    "saver",
    "tokenizer_at",
    "tokenizer_text",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' progress bars and load reports until the end of the block.

    >>> with quiet():
    ...     transformers.utils.logging.get_verbosity() == transformers.utils.logging.ERROR
    True
    """
    verbosity, datasets_verbosity = transformers.utils.logging.get_verbosity(), datasets.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(verbosity)
        datasets.logging.set_verbosity(datasets_verbosity)
        transformers.utils.logging.enable_progress_bar()
        datasets.enable_progress_bars()


def at(field: tuple[str, ...], function: Callable[_P, _R], *arguments: _P.args, **options: _P.kwargs) -> _R:
    """Call a function, and name the recipe's field in its errors about data.

    >>> at(("model", "max_length"), int, "16")
    16
    """
    try:
        return function(*arguments, **options)
    except DataError as error:
        raise error.at(*field) from error.__cause__


def pretrained(
    path: str,
    kind: str,
    classes: int | None = None,
    *,
    whole: bool = False,
    form: Format = FLOAT32,
) -> nn.Module:
    """Load a model with a checkpoint's params.

    Args:
        path: Checkpoint folder or hub id.
        kind: Name of the kind of model.
        classes: Number of classes. A head that the checkpoint lacks in this size is new. None for models of which the
            checkpoint must have every tensor.
        whole: Whether the checkpoint must have the head too.
        form: The form of the params. Under dtype ``auto`` they are float32 if they are stored as float16, which
            overflows without a scaled loss, or as bfloat16 where the device is slow in it.

    Raises:
        DataError: The checkpoint cannot be loaded, or lacks tensors.

    >>> pretrained("no-checkpoint/anywhere/at-all", "causal-lm")
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: 'no-checkpoint/anywhere/at-all' cannot be loaded for causal-lm: ...
    """
    options: dict[str, object] = {} if form.quantization is None else options_for(form.quantization)
    try:
        if form.attention is not None:
            options["attn_implementation"] = form.attention
        if classes is not None:
            options["num_labels"] = classes
        model, report = kind_named(kind).model_class.from_pretrained(
            path,
            ignore_mismatched_sizes=True,
            dtype="auto" if form.dtype == "auto" else getattr(torch, form.dtype),
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except Exception as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        advice = "name a folder with config.json and safetensors, or a hub id that can be reached"
        raise DataError(f"{path!r} cannot be loaded for {kind}: {message}; {advice}") from error
    _refuse_gaps(path, model, report, "" if classes is None or whole else f"{model.base_model_prefix}.")
    assert isinstance(model, nn.Module)
    narrow = form.dtype == "auto" and next(model.parameters()).dtype == torch.bfloat16 and bfloat16.is_fast()
    return model if narrow or form.dtype == "bfloat16" else widen(model)


def _refuse_gaps(path: str, model: nn.Module, report: Mapping[str, Iterable[object]], part: str) -> None:
    """Refuse a checkpoint that lacks tensors outside the head, which would be random."""
    missing = [str(name) for name in report["missing_keys"]]
    faults = [f"{name} is missing" for name in missing if name.startswith(part) and ".pooler." not in name]
    for name, stored, expected in (
        tuple(mismatch) for mismatch in report["mismatched_keys"] if isinstance(mismatch, Iterable)
    ):
        if str(name).startswith(part):
            faults.append(f"shape of {name} is {list(stored)}, its configuration says {list(expected)}")
    if faults:
        summary = first_few(sorted(faults), separator="; ")
        raise DataError(
            f"the checkpoint {path!r} does not fit its own config.json: {summary}; copy or download it again"
        )


def _checkpoint(model: nn.Module, folder: Path) -> None:
    assert isinstance(model, transformers.PreTrainedModel)
    model.save_pretrained(folder)


def saver(path: str, write: Callable[[nn.Module, Path], None] = _checkpoint) -> Callable[[nn.Module, Path], None]:
    """Return the function that saves a model as a checkpoint with the tokenizer or image processor of its own.

    A model with several heads becomes one checkpoint per head, in a folder of the head's name.

    Args:
        path: The checkpoint folder or hub id that the model came from.
        write: Function that writes the model of one head; a checkpoint if left out.

    >>> import tempfile
    >>> model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=2, n_embd=2, n_layer=1, n_head=1))
    >>> with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
    ...     model.save_pretrained(first)
    ...     Path(first, "tokenizer.json").touch()
    ...     saver(first)(model, Path(second))
    ...     sorted(path.name for path in Path(second).iterdir())
    ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json']
    """

    def save(model: nn.Module, folder: Path) -> None:
        if isinstance(model, Heads):
            with model.apart() as models:
                for head, own in models.items():
                    save(own, folder / head)
            return
        with quiet():
            write(model, folder)
        for file in companion_files(Path(str(transformers.utils.cached_file(path, "config.json"))).parent):
            if file.name not in (INDEX, "config.json") and not (folder / file.name).exists():
                shutil.copyfile(file, folder / file.name)

    return save


def positions_of(model: nn.Module) -> int | None:
    """Return the most tokens that a model has positions for; None without a limit (relative positions, as in T5).

    In some models (RoBERTa and its like) padding has its own position, and the tokens' positions begin after it.

    Args:
        model: A transformers model.

    >>> model = transformers.RobertaModel(transformers.RobertaConfig(vocab_size=2, hidden_size=12, num_hidden_layers=0))
    >>> model.config.max_position_embeddings, positions_of(model)
    (512, 510)
    """
    assert isinstance(model, transformers.PreTrainedModel)
    config = model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or getattr(config, "position_biased_input", None) is False:
        return None
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return module.num_embeddings - module.padding_idx - 1
    return positions


def check_positions(model: nn.Module, max_length: int, most: int = 0, field: tuple[str, ...] = ("model",)) -> None:
    """Check that a model has positions for the longest text and the tokens written after it.

    A translation has positions of its own.

    Args:
        model: A transformers model.
        max_length: Most tokens of a text.
        most: Most tokens written after it.
        field: The part of the recipe that has ``max_length``.

    Raises:
        DataError: There are too few positions; the recipe's field is named.

    >>> model = transformers.GPT2LMHeadModel(
    ...     transformers.GPT2Config(vocab_size=2, n_embd=2, n_layer=1, n_head=1, n_positions=8)
    ... )
    >>> check_positions(model, 9)
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: max_length 9 are more than the model's 8 positions; lower max_length, to 8 or less
    """
    assert isinstance(model, transformers.PreTrainedModel)
    positions, alone = positions_of(model), bool(model.config.is_encoder_decoder)
    if positions is None or (max(max_length, most) if alone else max_length + most) <= positions:
        return
    fits = most and max_length <= positions
    addition, name = (f" and max_new_tokens {most}", "max_new_tokens") if fits else ("", "max_length")
    left = positions - (max_length if fits and not alone else 0)
    way = f", to {left} or less" if left > 0 else ", or max_length"
    raise DataError(
        f"max_length {max_length}{addition} are more than the model's {positions} positions; lower {name}{way}"
    ).at(*(("model",) if fits else field), name)


def tokenizer_at(path: str) -> "transformers.PreTrainedTokenizerBase":
    """Load the tokenizer of a checkpoint.

    Raises:
        DataError: The checkpoint has no tokenizer.

    >>> tokenizer_at("no-checkpoint/anywhere/at-all")
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: 'no-checkpoint/anywhere/at-all' has no tokenizer that can be loaded: ...
    """
    try:
        return transformers.AutoTokenizer.from_pretrained(path)
    except Exception as error:
        raise DataError(f"{path!r} has no tokenizer that can be loaded: {error}") from error


def tokenizer_text(tokenizer: "transformers.PreTrainedTokenizerBase") -> object:
    """Describe everything that a tokenizer does to a text, for fingerprints.

    >>> from tokenizers import Tokenizer
    >>> from tokenizers.models import WordLevel
    >>> made = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0}, unk_token="a")))
    >>> '"type":"WordLevel"' in tokenizer_text(made)
    True
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)  # slow tokenizers have none
    return backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
