"""Reads test pictures and prepares them as data/README.md and kernels/preprocess.h say, in float64.

PyPI packages: numpy; pillow for folders of pictures. A module for check_checkpoint.py, written
from the headers and sharing no code with the engine.
"""

import gzip
import os
from pathlib import Path

import numpy as np

# JPEG decoders differ by a level or two in places, which would be taken for errors of ours.
LOSSLESS = (".png", ".bmp", ".ppm", ".pgm")


class Unsupported(Exception):
    """The pictures cannot be compared; says why."""


def read_idx(stem):
    """The array of an IDX file, plain or compressed, under either spelling of its name."""
    for name in (f"{stem}-idx", f"{stem}.idx"):
        for ending in ("", ".gz"):
            for path in Path(name).parent.glob(f"{Path(name).name}?-ubyte{ending}"):
                raw = (gzip.open if ending else open)(path, "rb").read()
                sizes = np.frombuffer(raw, ">i4", raw[3], 4)
                return np.frombuffer(raw, np.uint8, -1, 4 + 4 * raw[3]).reshape(sizes)
    return None


class IdxPictures:
    """t10k-images-idx3-ubyte and its labels; the id of a picture is its record."""

    def __init__(self, path):
        self._pictures = read_idx(f"{path}/t10k-images")
        self._labels = read_idx(f"{path}/t10k-labels")
        if self._pictures is None:
            raise Unsupported(f"{path} has no t10k-images-idx3-ubyte")

    def pictures(self, ids):
        return self._pictures[ids, :, :, None]

    def labels(self, ids):
        return None if self._labels is None else self._labels[ids].astype(np.int64)


class FolderPictures:
    """test/CLASS/... or val/CLASS/...; ids follow the sorted walk, files before folders."""

    def __init__(self, path, stored_size):
        names = [name for name in ("test", "val") if (Path(path) / name).is_dir()]
        if not names:
            raise Unsupported(f"{path} has neither test nor val pictures")
        root = Path(path) / names[0]
        self._stored_size = stored_size
        self._files, self._classes = [], []
        for label, folder in enumerate(self._sorted(root, Path.is_dir)):
            files = list(self._walk(folder))
            self._files += files
            self._classes += [label] * len(files)

    @staticmethod
    def _sorted(folder, kind):
        found = [x for x in folder.iterdir() if kind(x) and not x.name.startswith(".")]
        return sorted(found, key=lambda x: os.fsencode(x.name))

    def _walk(self, folder):
        endings = (*LOSSLESS, ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
        for file in self._sorted(folder, Path.is_file):
            if file.suffix.lower() in endings:
                yield file
        for below in self._sorted(folder, Path.is_dir):
            yield from self._walk(below)

    def _read(self, file):
        try:
            from PIL import Image
        except ImportError:
            raise Unsupported("folders of pictures need the package pillow") from None
        if file.suffix.lower() not in LOSSLESS:
            raise Unsupported(f"{file} is not lossless; decoders differ")
        picture = np.asarray(Image.open(file).convert("RGB"))
        side = self._stored_size
        if min(picture.shape[:2]) != side:
            raise Unsupported(f"{file} must be resized; its short side is not stored-size ({side})")
        top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        return picture[top : top + side, left : left + side]

    def pictures(self, ids):
        return np.stack([self._read(self._files[i]) for i in ids])

    def labels(self, ids):
        return np.array(self._classes)[ids]


def open_test_pictures(config):
    """The test split that a config.toml names."""
    prefix, _, path = config["data"].rpartition(":")
    if prefix == "idx" or (not prefix and read_idx(f"{path}/t10k-images") is not None):
        return IdxPictures(path)
    if prefix in ("", "folder"):
        return FolderPictures(path, config["stored-size"])
    raise Unsupported(f"data sets of the format {prefix} are not read here")


def sample(length, begin, extent, size):
    """(first, second, fraction) along one axis: half-pixel centres, clamped to the picture."""
    x = np.clip(begin + (np.arange(size) + 0.5) * extent / size - 0.5, 0, length - 1)
    first = np.floor(x).astype(int)
    return first, np.minimum(first + 1, length - 1), x - first


def center_crop(pictures, side, size):
    """The middle square of `side` pixels, resized to `size`: (n, h, w, c) to (n, size, size, c)."""
    height, width = pictures.shape[1:3]
    top, bottom, fy = sample(height, (height - side) // 2, side, size)
    left, right, fx = sample(width, (width - side) // 2, side, size)
    pixels = pictures.astype(np.float64)
    rows = pixels[:, top] * (1 - fy[:, None, None]) + pixels[:, bottom] * fy[:, None, None]
    return rows[:, :, left] * (1 - fx[:, None]) + rows[:, :, right] * fx[:, None]


def normalise(pictures):
    """Mean 0 and standard deviation 1 over all pixels and channels of a picture."""
    centred = pictures - pictures.mean((1, 2, 3), keepdims=True)
    deviation = pictures.std((1, 2, 3), keepdims=True)
    return centred / np.where(deviation > 0, deviation, 1)


def neighbours(pictures):
    """at(dy, dx): the picture moved so that each pixel shows its neighbour; zeros outside."""
    height, width = pictures.shape[1:3]
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return lambda dy, dx: padded[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


def sobel(pictures):
    at = neighbours(pictures.mean(3, keepdims=True))
    gx = sum(k * (at(dy, 1) - at(dy, -1)) for dy, k in ((-1, 1), (0, 2), (1, 1)))
    gy = sum(k * (at(1, dx) - at(-1, dx)) for dx, k in ((-1, 1), (0, 2), (1, 1)))
    return np.concatenate([gx, gy], 3)


def high_pass(pictures):
    at = neighbours(pictures)
    return pictures - sum(at(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 9


FRONT_ENDS = {"clean": lambda pictures: pictures, "sobel": sobel, "high_pass": high_pass}


def evaluation_view(pictures, config):
    """Bytes (n, h, w, c) to network input (n, c, size, size) in the evaluation view."""
    side = min(pictures.shape[1:3])
    if config["crop"] != "area":
        side = min(config["size"], side)
    view = FRONT_ENDS[config["front"]](normalise(center_crop(pictures, side, config["size"])))
    return np.ascontiguousarray(view.transpose(0, 3, 1, 2))
