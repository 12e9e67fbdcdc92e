"""The optional packages of the extra ``hf``, which are imported here alone."""

from foretaste.errors import MissingExtra

try:
    import datasets
    import PIL.Image
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.compute as pc  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]
    import transformers
except ImportError as error:  # pragma: no cover - the tests install the extra, and try without it in another process
    raise MissingExtra(
        "this recipe needs transformers and datasets; install them with: pip install 'foretaste[hf]'"
    ) from error

__all__ = ["PIL", "datasets", "pa", "pc", "pq", "transformers"]
