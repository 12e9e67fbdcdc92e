import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from foretaste.digests import digest
from foretaste.errors import DataError
from foretaste.params import check_fit, shape_of
from foretaste.posterior.precision import Piece
from foretaste.stored import DTYPES, Stored, header_of
from laws import HARD, normal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file({"b": normal(5, 3, seed=1), "a": normal(4, seed=2), "s": normal(seed=3)}, tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


def raw(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + data)
    return path


class TestReading:
    @pytest.mark.parametrize("family", HARD)
    def test_every_tensor_is_what_safetensors_reads(self, family: str, tmp_path: Path) -> None:
        params = {name: tensor.contiguous() for name, tensor in HARD[family].items()}
        save_file(params, tmp_path / "x.safetensors")
        stored, expected = Stored.open([tmp_path / "x.safetensors"]), load_file(tmp_path / "x.safetensors")
        assert set(stored) == set(expected)
        assert digest(stored) == digest(expected) == digest(params)

    @pytest.mark.parametrize("dtype", list(DTYPES.values()))
    def test_every_type(self, dtype: torch.dtype, tmp_path: Path) -> None:
        tensor = torch.tensor([0.0, 1.0, 1.0]).to(dtype)
        save_file({"w": tensor}, tmp_path / "x.safetensors")
        found = Stored.open([tmp_path / "x.safetensors"])
        assert found["w"].dtype == dtype
        assert found["w"].view(torch.uint8).equal(tensor.view(torch.uint8))
        assert found.entries["w"].type == dtype

    @pytest.mark.parametrize(("start", "stop"), [(0, 15), (3, 7), (0, 0), (14, 99), (20, 30)])
    def test_a_part_is_a_slice_of_the_flattened_tensor(self, file: Path, start: int, stop: int) -> None:
        stored = Stored.open([file])
        assert stored.part("b", slice(start, stop)).equal(stored["b"].flatten()[start:stop])
        assert Piece(["b"], slice(start, stop)).of(stored)["b"].equal(stored["b"].flatten()[start:stop])

    def test_order_is_that_of_the_bytes(self, file: Path) -> None:
        starts = [entry.start for entry in header_of(file).values()]
        assert starts == sorted(starts)
        assert list(Stored.open([file])) == list(header_of(file))

    def test_several_files_are_one_params(self, file: Path, tmp_path: Path) -> None:
        save_file({"c": torch.ones(1)}, tmp_path / "y.safetensors")
        stored = Stored.open([file, tmp_path / "y.safetensors"])
        assert len(stored) == 4
        assert stored["c"].item() == 1.0

    def test_shapes_are_compared_without_reading(self, file: Path, tmp_path: Path) -> None:
        stored = Stored.open([file])
        file.unlink()
        assert shape_of(stored, "b") == (5, 3)
        check_fit(stored, {"b": torch.zeros(5, 3), "a": torch.zeros(4), "s": torch.zeros(())}, "x")


class TestRefusals:
    def refused(self, path: Path) -> str:
        with pytest.raises(DataError) as error:
            header_of(path)
        return str(error.value)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        assert "x.safetensors does not exist" in self.refused(tmp_path / "x.safetensors")

    @pytest.mark.parametrize("kept", [0, 4, 8, 20, 200, -1])
    def test_a_file_cut_anywhere(self, file: Path, kept: int) -> None:
        file.write_bytes(file.read_bytes()[:kept])
        assert "is truncated or damaged" in self.refused(file)

    @pytest.mark.parametrize(
        "header",
        [
            "[]",
            "{",
            '{"w": 1}',
            '{"w": {"dtype": "F32"}}',
            '{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
        ],
    )
    def test_a_header_of_something_else(self, tmp_path: Path, header: str) -> None:
        assert "is truncated or damaged" in self.refused(raw(tmp_path / "x.safetensors", header))

    def test_a_tensor_that_is_named_twice(self, tmp_path: Path) -> None:
        one = '"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
        assert "w appears twice" in self.refused(raw(tmp_path / "x.safetensors", f"{{{one}, {one}}}", bytes(4)))

    def test_bytes_that_do_not_fit_the_shape(self, tmp_path: Path) -> None:
        header = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}
        assert "w has 4 bytes for 2 entries of F32" in self.refused(raw(tmp_path / "x.safetensors", header, bytes(4)))

    def test_a_type_that_nobody_knows(self, tmp_path: Path) -> None:
        header = {"w": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}
        stored = Stored.open([raw(tmp_path / "x.safetensors", header, bytes(1))])
        assert shape_of(stored, "w") == (2,)
        with pytest.raises(DataError, match="holds tensors of type F4, which is not supported"):
            stored["w"]

    def test_a_tensor_in_two_files(self, file: Path, tmp_path: Path) -> None:
        save_file({"a": torch.ones(1)}, tmp_path / "y.safetensors")
        with pytest.raises(DataError, match=r"a is both in .*x.safetensors and in y.safetensors"):
            Stored.open([file, tmp_path / "y.safetensors"])

    def test_a_file_that_shrinks_or_goes_while_it_is_read(self, file: Path) -> None:
        stored = Stored.open([file])
        file.write_bytes(file.read_bytes()[:-70])
        with pytest.raises(DataError, match="has become shorter while it was read"):
            list(stored.values())
        file.unlink()
        with pytest.raises(DataError, match="cannot be read any more"):
            stored["a"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dtype": "F32", "shape": "2", "data_offsets": [0, 8]}, "does not give a type, a shape and two offsets for w"),
        ({"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}, "does not give a type, a shape"),
        ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "does not give a type, a shape"),
        ({"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}, "does not give a type, a shape"),
        ({"dtype": "F32", "shape": [2], "data_offsets": ["0", "8"]}, "does not give a type, a shape"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 16]}, "does not give a type, a shape"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}, "does not give a type, a shape"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}, "w ends before it begins"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, float("inf")]}, "Infinity is no number"),
        ({"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}, "does not give a type, a shape"),
        ({"dtype": "F32", "shape": [10**30], "data_offsets": [0, 8]}, "does not give a type, a shape"),
        ([1, 2], "does not give a type, a shape"),
    ],
)
def test_headers_with_wrong_types(tmp_path: Path, fields: object, words: str) -> None:
    with pytest.raises(DataError, match="is truncated or damaged") as caught:
        header_of(described(tmp_path, fields))
    assert words in str(caught.value)


def test_headers_are_checked_where_assertions_are_left_out(tmp_path: Path) -> None:
    path = described(tmp_path, {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]})
    code = f"from pathlib import Path; from foretaste.stored import header_of; header_of(Path({str(path)!r}))"
    found = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False)
    assert "is truncated or damaged (its header does not give a type, a shape and two offsets for w)" in found.stderr


def described(folder: Path, fields: object) -> Path:
    """A file of eight bytes with one tensor, described in this way."""
    header = json.dumps({"w": fields}).encode()
    path = folder / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    return path


@pytest.mark.parametrize("header", [b"[" * 50_000, b"[]", b"null", b'{"w": ' + b"9" * 5000 + b"}", b"\xff"])
def test_headers_that_are_no_objects(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(DataError, match="is truncated or damaged"):
        header_of(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("pipe", "loop", "folder"):
        with pytest.raises(DataError):
            header_of(tmp_path / f"{name}.safetensors")
