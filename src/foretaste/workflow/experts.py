"""Experts in a study: models that were trained elsewhere and take the place of a task's own run.

A study knows where they are and what they hold (a content hash), and copies them only when a recipe's model needs them in
memory; without a recipe they are merged where they are (`foretaste.workflow.files`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from foretaste.engine import Unwatched, Watch, do, stop_if_asked
from foretaste.errors import DataError, StudyError
from foretaste.params import Params
from foretaste.posterior.site import GaussianSite
from foretaste.sources.adapter import check_adapters, open_adapter
from foretaste.sources.checkpoint import open_checkpoint
from foretaste.sources.expert import Expert, fitted_to, hashed, look
from foretaste.sources.preflight import Vocabulary, preflight
from foretaste.sources.site_file import load_site
from foretaste.store.study import Done, Study, key_of
from foretaste.task import Task
from foretaste.workflow.session import Session

__all__ = ["BASE", "Brought", "bring", "brought", "check", "check_known", "curvature_of", "forget_curvature", "params_of"]

BASE = ""  # whose name no task can have


@dataclass(frozen=True)
class Brought:
    """An expert that a study knows.

    Args:
        task: Whose model it is; `BASE` for the pretrained one.
        expert: The folder.
        digest: Hash of its params.
        site: Hash of its site file, if that is to be used.
        vocabulary: How added tokens are handled.
    """

    task: str
    expert: Expert
    digest: str
    site: str | None
    vocabulary: Vocabulary | None = None


def bring(
    study: Study,
    folders: Mapping[str, Path],
    base: Path | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    watch: Watch | None = None,
) -> tuple[str, ...]:
    """Let a study know experts; headers are compared before anything is read.

    Args:
        study: Has a recipe, or not yet.
        folders: By task.
        base: The pretrained checkpoint, with which experts are compared; needed where they are merged without a recipe.
        vocabulary: See `preflight`.
        watch: Told of bytes read.

    Returns:
        Notes on what was put right or is worth knowing.

    Raises:
        DataError: They are no models, or do not fit; everything that is in the way is listed.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(Path(folder, "study")) as study:
    ...     save_file({"w": torch.ones(1)}, Path(folder, "model.safetensors"))
    ...     _ = bring(study, {"a": Path(folder)})
    ...     [found.expert.kind for found in brought(study).values()]
    ['tensors']
    """
    watch, found, known = watch or Unwatched(), _looked(folders), brought(study)
    base = base or (known[BASE].expert.folder if BASE in known else None)
    notes = _free(found) + _compared({**{task: each.expert for task, each in known.items() if task != BASE}, **found}, base, vocabulary)
    if base is not None and (BASE not in known or base.resolve() != known[BASE].expert.folder):
        found[BASE] = look(base.resolve())
    files = {task: [*expert.files, *([expert.site] if expert.site and expert.kind != "site" else [])] for task, expert in found.items()}
    watch.begin("reading", sum(path.stat().st_size for each in files.values() for path in each))
    number = len(study.all_work("import"))
    for task, expert in found.items():
        _keep(study, task, expert, vocabulary, number, watch)
    return notes


def check(folders: Mapping[str, Path], base: Path | None = None, vocabulary: Vocabulary | None = None) -> None:
    """Look at folders before a study is made for them; see `bring`.

    Raises:
        DataError: They are no models, or do not fit.

    >>> check({})
    """
    _compared(_looked(folders), base, vocabulary)


def _looked(folders: Mapping[str, Path]) -> dict[str, Expert]:
    if BASE in folders:
        raise DataError("an expert needs its task's name, as in --task code=FOLDER")
    return {task: look(folder.resolve()) for task, folder in folders.items()}


def _free(experts: Mapping[str, Expert]) -> tuple[str, ...]:
    return tuple(
        f"task {task!r}: {each.folder.name}/optimizer.pt is a pickle and is not read; a run with PosteriorCallback(estimate='adam') "
        "leaves its curvature as a site file"
        for task, each in experts.items()
        if each.site is None and (each.folder / "optimizer.pt").is_file()
    )


def _compared(experts: Mapping[str, Expert], base: Path | None, vocabulary: Vocabulary | None) -> tuple[str, ...]:
    adapters = {task: open_adapter(expert.folder) for task, expert in experts.items() if expert.kind == "adapter"}
    notes = check_adapters(adapters) if adapters else ()
    if base is None:
        return notes
    checkpoints = {task: open_checkpoint(expert.folder) for task, expert in experts.items() if expert.kind == "checkpoint"}
    return (*notes, *preflight(open_checkpoint(base), checkpoints, vocabulary=vocabulary).notes)


def _keep(study: Study, task: str, expert: Expert, vocabulary: Vocabulary | None, number: int, watch: Watch) -> None:
    def advance(size: int) -> None:
        watch.advance(size, task or "base")
        stop_if_asked(watch)

    digest = hashed(expert.files, advance)
    site = None if expert.site is None else digest if expert.kind == "site" else hashed([expert.site], advance)
    _remember(study, Brought(task, expert, digest, site, vocabulary), number)


def _remember(study: Study, each: Brought, number: int) -> None:
    """A row of its own even where it was known before: the latest counts."""
    inputs = {"task": each.task, "digest": each.digest, "site": each.site, "vocabulary": each.vocabulary, "number": number}
    study.add("import", key_of("import", inputs), inputs, {"folder": str(each.expert.folder), "kind": each.expert.kind}, None, 0.0)


def brought(study: Study) -> dict[str, Brought]:
    """The experts that a study knows, by task; the pretrained checkpoint under `BASE`."""
    found = {}
    for done in sorted(study.all_work("import"), key=lambda done: int(done.inputs["number"])):
        folder, task = Path(done.result["folder"]), str(done.inputs["task"])
        try:
            expert = look(folder)
        except DataError as error:
            raise DataError(f"the expert of {task or 'the base'} is not there any more: {error}; import it again") from error
        found[task] = Brought(task, expert, done.inputs["digest"], done.inputs["site"], done.inputs["vocabulary"])
    return found


def check_known(session: Session) -> None:
    """Look whether experts are for tasks that the recipe has.

    Raises:
        StudyError: Others are known.

    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load, start
    >>> import tempfile
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), Path(folder))
    ...     with session.study:
    ...         check_known(session)
    """
    names = session.problem.names
    strange = sorted(set(brought(session.study)) - {BASE, *names})
    if strange:
        raise StudyError(f"the study has models for {', '.join(strange)}, the recipe has the tasks {', '.join(names)}; use the same names")


def params_of(session: Session, task: Task, each: Brought) -> Done:
    """A task's params from its expert, kept in the study as if they had been trained there.

    Raises:
        DataError: It does not fit the model, or is not what was imported.
    """

    def make() -> tuple[dict[str, object], Params]:
        _check_same(each)
        model = session.problem.model
        if each.expert.kind == "site":
            site = load_site(each.expert.files[0])
            params = fitted_to(model, task, {**site.center, **site.carried}, each.expert.folder)
        else:
            params = session.problem.read(model, task, each.expert)
        return {"history": [], "seen": {}, "imported": str(each.expert.folder)}, params

    inputs = {"base": session.base, "task": [task.name, task.fingerprint], "import": each.digest}
    return do(session.study, "finetune", inputs, make, session.watch)


def _check_same(each: Brought) -> None:
    if hashed(each.expert.files) != each.digest:
        raise DataError(f"{each.expert.folder} has changed since it was imported for task {each.task!r}; import it again")


def curvature_of(task: Task, each: Brought, params: Params) -> GaussianSite:
    """The site of an expert's own site file, at its params.

    Args:
        task: Whose it is.
        each: Has a site file.
        params: The task's, by the study's names.

    Raises:
        DataError: It does not fit, or is in another unit than the task.
    """
    path = each.expert.site
    assert path is not None
    site = load_site(path, mean=params)
    if site.record.unit != task.unit:
        raise DataError(
            f"{path} is curvature per {site.record.unit}, and task {task.name!r} counts in units of one {task.unit}; "
            "take it in this unit, or let `foretaste fit --estimate fisher` make it anew"
        )
    own = {name: params[name] for name in site.center if name in params}
    if own.keys() != site.center.keys() or any(own[name].shape != tensor.shape for name, tensor in site.center.items()):
        raise DataError(f"{path} is about other parameters than task {task.name!r} has; let `foretaste fit --estimate fisher` make it anew")
    return replace(site, center=own)


def forget_curvature(study: Study) -> None:
    """From now on experts come without the curvature in their site files.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(Path(folder)) as study:
    ...     forget_curvature(study)
    ...     brought(study)
    {}
    """
    number = len(study.all_work("import"))
    for each in brought(study).values():
        if each.site is not None:
            _remember(study, replace(each, site=None), number)
