"""Data files and folders of images, read as they are now.

Hugging Face datasets caches rows by path and time, expands patterns in paths, and sorts images into splits by words in
their names. Here a path is only a path, the cache's key is the content of the file, and every image below a folder
belongs to it.
"""

import csv
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from foretaste.errors import DataError
from foretaste.sources.extra import datasets

__all__ = ["FORMATS", "content_digest", "lines_warning", "read_folder", "read_table"]

FORMATS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}

_PLAIN = re.compile(r"[\w./\\: -]+")
_BUILDERS = {"json": "Json", "csv": "Csv", "parquet": "Parquet", "imagefolder": "ImageFolder"}


def read_table(path: Path, *, quoted: bool = False) -> datasets.Dataset:
    r"""Read all rows of a data file.

    In CSV only an empty field is a missing value: ``NA`` and ``null`` are texts like others.

    Args:
        path: The file; its ending is in `FORMATS`.
        quoted: Whether fields of a .tsv may stand in quotation marks; those of a .csv always may.

    Raises:
        DataError: The file changed while it was read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a[1].tsv")
    ...     _ = path.write_text('text\tlabel\n"Good" news\tNA\n')
    ...     list(read_table(path))
    [{'text': '"Good" news', 'label': 'NA'}]
    """
    kind = FORMATS[path.suffix]
    options: dict[str, object] = {"keep_default_na": False, "na_values": [""]} if kind == "csv" else {}
    if path.suffix == ".tsv":
        options |= {"delimiter": "\t"} if quoted else {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    with _plainly_named(path) as name:
        return _built(kind, [name], _digest_of_file(path), options)


def read_folder(folder: Path) -> datasets.Dataset:
    """Read every image below a folder, with the name of its own folder as its label.

    Images have labels if all lie equally deep, in more than one folder. If there is a metadata file (``metadata.csv``,
    ``.jsonl`` or ``.parquet``, with ``file_name``), its columns take the place of labels, as datasets reads them.
    Hidden files are left out.

    Raises:
        datasets.data_files.EmptyDatasetError: There is no image.
    """
    module = import_module("datasets.packaged_modules.imagefolder.imagefolder")
    files = [
        path
        for path in _files_below(folder)
        if not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
    ]
    endings = set(module.ImageFolder.EXTENSIONS)
    pictures = [path for path in files if path.suffix.lower() in endings]
    others = [path for path in files if path.name in module.ImageFolder.METADATA_FILENAMES or path.suffix == ".zip"]
    if others:
        return _built("imagefolder", [str(path) for path in [*pictures, *others]], content_digest(folder), {})
    if not pictures:
        raise datasets.data_files.EmptyDatasetError(f"the folder {folder} holds no pictures")
    classes = [path.parent.name for path in pictures]
    names = sorted(set(classes))
    columns: dict[str, list[object]] = {"image": [str(path.absolute()) for path in pictures]}
    features = datasets.Features({"image": datasets.Image()})
    if len(names) > 1 and len({len(path.parts) for path in pictures}) == 1:
        place = {name: index for index, name in enumerate(names)}
        columns["label"] = [place[name] for name in classes]
        features["label"] = datasets.ClassLabel(names=names)
    return datasets.Dataset.from_dict(columns, features=features)


def content_digest(path: Path) -> str:
    """Hash a file's bytes, or the names and bytes of all files below a folder.

    Raises:
        DataError: A file cannot be read.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     content_digest(Path(file.name))[:8]
    'e3b0c442'
    """
    try:
        if not path.is_dir():
            return _digest_of_file(path)
        files = sorted(_files_below(path))
        parts = [f"{file.relative_to(path)}:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read: {error.strerror or error}; let yourself read it, or name another"
        ) from error


def lines_warning(path: Path, rows: int) -> tuple[str, ...]:
    r"""Warn if a CSV or TSV file has another number of rows than of lines; there is no warning for other files.

    Args:
        path: The file; blank lines do not count.
        rows: Number of rows read from it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.csv")
    ...     _ = path.write_text('text\n"one\ntwo"\n')
    ...     [text.split(" has ")[1] for text in lines_warning(path, 1)]
    ['2 lines below its header, but 1 row was read: fields hold line breaks, or a quotation mark is never closed']
    """
    if FORMATS.get(path.suffix) != "csv" or not path.is_file():
        return ()
    with path.open("rb") as handle:
        lines = sum(1 for line in handle if line.strip()) - 1
    if lines == rows:
        return ()
    read = "1 row was read" if rows == 1 else f"{rows} rows were read"
    return (
        (
            f"{path} has {lines} lines below its header, but {read}: fields hold line breaks, or a quotation mark is"
            " never closed"
        ),
    )


def _files_below(folder: Path) -> list[Path]:
    """Yield all files below a folder in the order of their paths, through links too.

    A folder that contains itself is entered once.
    """
    entered: set[str] = set()
    paths: list[str] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        entered.add(os.path.realpath(place))
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(place, name)) not in entered]
        paths += [os.path.join(place, name) for name in names]
    return [path for path_name in sorted(paths) if (path := Path(path_name)).is_file()]


def _built(kind: str, files: list[str], digest: str, options: dict[str, object]) -> datasets.Dataset:
    """Read files through datasets, with the content of the files as the key of its cache."""
    before = [_stamp(file) for file in files]
    builder_class = getattr(import_module(f"datasets.packaged_modules.{kind}.{kind}"), _BUILDERS[kind])
    data_files = datasets.data_files.DataFilesList(files, [(digest,)])
    builder = builder_class(
        cache_dir=str(datasets.config.HF_DATASETS_CACHE),
        hash=hashlib.sha256(f"{digest} {datasets.__version__}".encode()).hexdigest(),
        data_files=datasets.data_files.DataFilesDict({"train": data_files}),
        **options,
    )
    builder.download_and_prepare()
    if before != [_stamp(file) for file in files]:
        shutil.rmtree(builder.cache_dir, ignore_errors=True)
        raise DataError(f"{files[0]} changed while it was read; try again when it is complete")
    return builder.as_dataset(split="train")


def _stamp(file: str) -> tuple[int, int, int]:
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def _plainly_named(path: Path) -> Iterator[str]:
    """Yield the file's path, or that of a link if datasets could misread the path.

    It reads some paths as patterns, addresses or files in archives.
    """
    whole = str(path.absolute())
    if _PLAIN.fullmatch(whole) and "::" not in whole:
        yield whole
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, f"data{path.suffix}")
        link.symlink_to(whole)
        yield str(link)
