"""Preflight: checks by headers and configurations whether experts fit a base, before params are read.

All mismatches are reported at once, each with what to do. Params are read for one check only: some tools store an
output layer that repeats the embeddings, and others leave it out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from foretaste.errors import DataError
from foretaste.json_text import parse_json
from foretaste.names import first_faults, first_few
from foretaste.one_line import one_line
from foretaste.sources.checkpoint import Checkpoint
from foretaste.stored import Entry, Stored

__all__ = ["Fitting", "Vocabulary", "preflight", "vocabulary_of"]

Vocabulary = Literal["base"]

_MOST_FAULTS = 6
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Fitting:
    """Experts that fit a base.

    Args:
        params: Params by task, with the base's names and shapes.
        notes: Differences that were resolved, and others worth knowing.
    """

    params: Mapping[str, Stored]
    notes: tuple[str, ...]

    __repr__ = one_line


def preflight(base: Checkpoint, experts: Mapping[str, Checkpoint], *, vocabulary: Vocabulary | None = None) -> Fitting:
    """Check that experts can be merged into a base.

    Args:
        base: The model that they were finetuned from.
        experts: The experts, by task.
        vocabulary: ``base`` drops tokens that experts added after the base's.

    Raises:
        DataError: Experts do not fit; all reasons are listed.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> from foretaste.sources.checkpoint import open_checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, size in (("base", 2), ("code", 3)):
    ...         Path(folder, name).mkdir()
    ...         _ = Path(folder, name, "config.json").write_text("{}")
    ...         save_file({"w": torch.ones(size)}, Path(folder, name, "model.safetensors"))
    ...     base, code = (open_checkpoint(Path(folder, name)) for name in ("base", "code"))
    ...     preflight(base, {"code": code})
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: task 'code' does not fit the base: shape of w is [3], not [2]
    """
    fitted, faults, notes = {}, [], []
    for task, expert in experts.items():
        own = _Comparison(base, expert, vocabulary)
        fitted[task] = own.params()
        faults += [f"task {task!r} does not fit the base: {fault}" for fault in own.faults]
        notes += [f"task {task!r}: {note}" for note in own.notes]
    if faults:
        raise DataError("\n".join(faults))
    return Fitting(fitted, tuple(notes))


class _Comparison:
    """The comparison of one expert with the base, with the faults and notes that it collects."""

    def __init__(self, base: Checkpoint, expert: Checkpoint, vocabulary: Vocabulary | None) -> None:
        self.base, self.expert, self.vocabulary = base, expert, vocabulary
        self.faults: list[str] = []
        self.notes: list[str] = []

    def params(self) -> Stored:
        """Return the expert's params under the base's names, as far as they fit."""
        kinds = [checkpoint.config.get("model_type") for checkpoint in (self.base, self.expert)]
        if kinds[0] != kinds[1]:
            self.faults.append(f"it is a {kinds[1]} model, the base a {kinds[0]} model; use experts of one base")
        added = self._added_tokens()
        entries = self._match_names()
        sizes = self._resized(entries, added)
        others = [
            (name, entry)
            for name, entry in entries.items()
            if name not in sizes and entry.shape != self._own(name).shape
        ]
        shapes = [
            f"shape of {name} is {list(entry.shape)}, not {list(self._own(name).shape)}" for name, entry in others
        ]
        types = [
            f"{name} is {entry.dtype}, {self._own(name).dtype} in the base"
            for name, entry in entries.items()
            if entry.type.is_floating_point != self._own(name).type.is_floating_point
        ]
        self.faults += [*first_faults(shapes, _MOST_FAULTS), *first_faults(types, _MOST_FAULTS)]
        if {entry.dtype for entry in entries.values()} != {entry.dtype for entry in self.base.params.entries.values()}:
            base_types = sorted({entry.dtype for entry in self.base.params.entries.values()})
            self.notes.append(
                f"its types differ from the base's; what is merged is kept in the base's ({', '.join(base_types)})"
            )
        return Stored(entries | sizes)

    def _own(self, name: str) -> Entry:
        return self.base.params.entries[name]

    def _match_names(self) -> dict[str, Entry]:
        """Return the expert's entries by the base's names; missing or extra copies of other tensors are resolved."""
        ours, theirs = self.base.params.entries, dict(self.expert.params.entries)
        missing, extra = [name for name in ours if name not in theirs], [name for name in theirs if name not in ours]
        for name in list(missing):
            twin = _twin(self.base.params, name)
            if twin is not None and twin in theirs:
                theirs[name] = theirs[twin]
                missing.remove(name)
                self.notes.append(f"{name} is left out; in the base it repeats {twin}, and so here")
        for name in list(extra):
            twin = _twin(self.expert.params, name)
            if twin is not None and twin in ours:
                extra.remove(name)
                self.notes.append(f"{name} repeats {twin}, as the base, which leaves it out, has it")
            elif _setting(self.base, "tie_word_embeddings") and name.endswith("lm_head.weight"):
                extra.remove(name)
                self.faults.append(
                    f"{name} is its own, and the base ties it to the embeddings; save the base with"
                    " tie_word_embeddings=False"
                )
        if missing:
            self.faults.append(f"missing {_list_names(missing)}")
        if extra:
            self.faults.append(f"additional {_list_names(extra)}; an adapter or a new head? merge or remove it first")
        return {name: theirs[name] for name in ours if name in theirs}

    def _added_tokens(self) -> list[str]:
        """List the tokens that the expert has beyond the base's; all others must be the same."""
        ours, theirs = (vocabulary_of(checkpoint.folder) for checkpoint in (self.base, self.expert))
        if not ours or not theirs:
            return []
        moved = [token for token, place in ours.items() if theirs.get(token, place) != place]
        if moved:
            self.faults.append(
                f"its tokenizer numbers {len(moved)} tokens otherwise ({_list_names(map(repr, moved))}),"
                " so that rows of its embeddings mean other tokens; use experts with the base's tokenizer"
            )
        return sorted((token for token in theirs if token not in ours), key=lambda token: theirs[token])

    def _resized(self, entries: Mapping[str, Entry], added: list[str]) -> dict[str, Entry]:
        """Cut tensors with a row per token to the base's rows, if the caller asked for that."""
        size, own = _setting(self.expert, "vocab_size"), _setting(self.base, "vocab_size")
        rows = {
            name: entry
            for name, entry in entries.items()
            if entry.shape[1:] == self._own(name).shape[1:]
            and entry.shape[:1] == (size,)
            and self._own(name).shape[:1] == (own,)
            and size != own
        }
        if not rows or not isinstance(size, int) or not isinstance(own, int):
            return {}
        which = f" ({_list_names([repr(token) for token in added])})" if added else ""
        if size < own:
            self.faults.append(
                f"its vocabulary has {size} tokens, {own - size} fewer than the base's; use experts with the base's"
                " tokenizer"
            )
        elif self.vocabulary is None:
            self.faults.append(
                f"its vocabulary has {size} tokens, {size - own} more than the base's{which}; leave them out with"
                " --vocabulary base"
            )
        else:
            self.notes.append(f"{size - own} tokens that it added{which} are left out")
        width = {name: entry.size // max(entry.shape[0], 1) for name, entry in rows.items()}
        return {
            name: replace(entry, shape=(own, *entry.shape[1:]), size=own * width[name]) for name, entry in rows.items()
        }


def _setting(checkpoint: Checkpoint, name: str) -> object:
    """Return a value of a checkpoint's configuration.

    Models of several parts have those of their language model in ``text_config``.
    """
    nested = checkpoint.config.get("text_config")
    own = checkpoint.config.get(name)
    return nested.get(name) if own is None and isinstance(nested, dict) else own


def _twin(params: Stored, name: str) -> str | None:
    """Return the name of another tensor with the same numbers, or None."""
    entry = params.entries[name]
    alike = [
        other
        for other, candidate in params.entries.items()
        if other != name and (candidate.dtype, candidate.shape) == (entry.dtype, entry.shape)
    ]
    embedding = [other for other in alike if "embed" in other or "shared" in other or "wte" in other]
    return next((other for other in embedding if _is_equal(params, name, other)), None)


def _is_equal(params: Stored, name: str, other: str) -> bool:
    count = params.entries[name].count
    cuts = (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))
    return all(params.part(name, cut).equal(params.part(other, cut)) for cut in cuts)


def vocabulary_of(folder: Path) -> dict[str, int]:
    """Read the number of each token from ``tokenizer.json``; the result is empty if there is no such file.

    >>> vocabulary_of(Path("no-such-folder"))
    {}
    """
    try:
        path = folder / "tokenizer.json"
        if path.exists() and not path.is_file():
            raise ValueError("it is not a regular file")
        document = parse_json(path.read_bytes())
        if not isinstance(document, dict):
            raise ValueError("it is not a JSON object")
        vocabulary = document["model"].get("vocab", {})
        tokens = (
            dict(vocabulary)
            if isinstance(vocabulary, dict)
            else {token: place for place, (token, _) in enumerate(vocabulary)}
        )
        return tokens | {str(added["content"]): int(added["id"]) for added in document.get("added_tokens", [])}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / 'tokenizer.json'} is damaged ({error}); copy or download it again") from error


def _list_names(names: Iterable[str]) -> str:
    return first_few(names, _MOST_FAULTS)
