"""Uploading an export to the Hugging Face hub, or a hub that speaks its protocol."""

from pathlib import Path

import huggingface_hub

from foretaste.errors import StorageError
from foretaste.export.folder import FACTS

__all__ = ["check_hub", "upload"]


def check_hub(name: str, *, overwrite: bool = False) -> None:
    """Look whether an export may be uploaded under a name, before there is any work for it.

    Args:
        name: Of the repository, as ``NAME`` or ``OWNER/NAME``.
        overwrite: Whether a repository that foretaste wrote may get new files.

    Raises:
        StorageError: Nobody is logged in, the hub cannot be reached, or there is another repository of this name.
    """
    hub = huggingface_hub.HfApi()
    try:
        owner = hub.whoami()["name"]
        whole = name if "/" in name else f"{owner}/{name}"
        exists = hub.repo_exists(whole)
        ours = exists and hub.file_exists(whole, FACTS)
    except huggingface_hub.errors.LocalTokenNotFoundError as error:
        raise StorageError(
            f"uploading {name} needs a token of the hub: log in with 'hf auth login', or set HF_TOKEN"
        ) from error
    except Exception as error:
        raise StorageError(
            f"{name} cannot be uploaded: {_reason(error)}; check the name, the token and the network, or leave out"
            " --push"
        ) from error
    if exists and not (ours and overwrite):
        way = "add --overwrite to give it new files" if ours else "foretaste did not write it; choose another name"
        raise StorageError(f"the hub has a repository {whole} already; {way}")


def upload(folder: Path, name: str, *, private: bool = False) -> str:
    """Upload an export, and return its address.

    Args:
        folder: The export, which stays as it is.
        name: Of the repository; it is made if it does not exist.
        private: Whether a new repository is for its owner alone.

    Raises:
        StorageError: The hub refuses, or cannot be reached.
    """
    hub = huggingface_hub.HfApi()
    try:
        repository = hub.create_repo(name, private=private or None, exist_ok=True)
        hub.upload_folder(
            repo_id=repository.repo_id, folder_path=folder, commit_message="Export from foretaste", delete_patterns="*"
        )
    except Exception as error:
        raise StorageError(
            f"{folder} is complete, but could not be uploaded: {_reason(error)}; try again with: hf upload {name}"
            f" {folder} ."
        ) from error
    return str(repository)


def _reason(error: Exception) -> str:
    """Return the first line of an error's message, which the hub puts its answer below."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
