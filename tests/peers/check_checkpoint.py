"""Does PyTorch, given a checkpoint, compute the features that "nat embed" writes?

Loads the newest checkpoint of a run into the same network in PyTorch, by name and strictly,
prepares test pictures on its own from the files (tests/peers/pictures.py), evaluates in float64,
and compares with the file that "nat embed" writes in float32. The largest error over the largest
feature must not exceed --tolerance in any layer.

PyPI packages: torch, safetensors, numpy; pillow for folders of pictures (PNG, BMP, PPM).
Run: python tests/peers/check_checkpoint.py RUN [--nat build/bin/nat]
Exit code: 0 equal, 1 different, 77 skipped (a package is missing or the pictures cannot be read).
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from comparison import LAYERS, compare, skip

# State of the training that is no part of the network.
OTHER_STATE = ("momentum.", "nat.")

try:
    import numpy as np
    import torch
    from safetensors.numpy import load_file as load_arrays
    from safetensors.torch import load_file as load_tensors
except ImportError as missing:
    skip(f"needs the packages torch, safetensors and numpy ({missing})")

from networks import Network
from pictures import Unsupported, evaluation_view, open_test_pictures


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder that nat train wrote")
    parser.add_argument("--nat", type=Path, default=Path("build/bin/nat"))
    parser.add_argument("--pictures", type=int, default=512, help="compare this many test pictures")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    return parser.parse_args()


def newest_checkpoint(run):
    checkpoints = sorted((run / "checkpoints").glob("step-*.safetensors"))
    if not checkpoints:
        sys.exit(f"{run}: no checkpoint")
    return checkpoints[-1]


def load_network(config, channels, checkpoint):
    """The network of a run with its parameters. Stops when a tensor is missing or unknown."""
    network = Network(
        config["network"], config["size"], channels, config["dimension"], config["width"]
    )
    tensors = {
        name: tensor
        for name, tensor in load_tensors(checkpoint).items()
        if not name.startswith(OTHER_STATE)
    }
    # PyTorch counts batches for a kind of running average that nobody uses here.
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = value
    network.load_state_dict(tensors, strict=True)
    return network.double().eval()


def embed(nat, run):
    """What "nat embed" computes for the test pictures in float32, whatever the run trained in."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        config = (run / "config.toml").read_text()
        config = re.sub(r"(?m)^dtype = .*$", "dtype = 'f32'", config)
        (scratch / "config.toml").write_text(config)
        (scratch / "checkpoints").symlink_to((run / "checkpoints").resolve())
        output = scratch / "features.safetensors"
        command = [nat, "embed", scratch, "--split", "test", "--layers", ",".join(LAYERS)]
        subprocess.run([*command, "--output", output], check=True, stdout=subprocess.DEVNULL)
        return load_arrays(output)


def compute_features(network, inputs, batch=64):
    """The same layers from PyTorch, a dictionary of (n, columns) arrays."""
    with torch.inference_mode():
        parts = [network.taps(part) for part in torch.from_numpy(inputs).split(batch)]
    return {layer: torch.cat([part[layer] for part in parts]).numpy() for layer in LAYERS}


def main():
    arguments = parse_arguments()
    config = tomllib.loads((arguments.run / "config.toml").read_text())
    checkpoint = newest_checkpoint(arguments.run)
    try:
        source = open_test_pictures(config)
        ours = embed(arguments.nat.resolve(), arguments.run)
        ours = {name: rows[: arguments.pictures] for name, rows in ours.items()}
        inputs = evaluation_view(source.pictures(ours["id"]), config)
    except Unsupported as reason:
        skip(reason)

    network = load_network(config, inputs.shape[1], checkpoint)
    print(f"{checkpoint.name}: {len(inputs)} test pictures, nat in float32, PyTorch in float64")
    equal = compare(ours, compute_features(network, inputs), arguments.tolerance)
    labels = source.labels(ours["id"])
    if labels is not None and not np.array_equal(labels, ours["label"]):
        print("labels differ")
        equal = False
    print("equal" if equal else f"DIFFERENT: an error is above {arguments.tolerance:g}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
