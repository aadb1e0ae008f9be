"""Prints the tensors of a model.safetensors as JSON: name -> shape and the bits of its float32 values.

Uses the standard library alone, to show that a checkpoint needs nothing of ours: 8 bytes of header size, a JSON header,
little-endian data. With --package the safetensors package reads the file instead.
"""
import json
import struct
import sys


def by_hand(path):
    with open(path, "rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_bytes))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", entry
        begin, end = entry["data_offsets"]
        tensors[name] = (entry["shape"], struct.unpack(f"<{(end - begin) // 4}I", data[begin:end]))
    return tensors


def by_package(path):
    from safetensors.numpy import load_file

    return {name: (list(array.shape), array.view("uint32").ravel().tolist()) for name, array in load_file(path).items()}


def main():
    read = by_package if sys.argv[1] == "--package" else by_hand
    json.dump({name: {"shape": shape, "bits": list(bits)} for name, (shape, bits) in read(sys.argv[-1]).items()}, sys.stdout)


main()
