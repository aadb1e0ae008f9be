"""Text normalisation, tokenizers and edit distances.

`python text.py OUT.txt MANIFEST...` writes a character vocabulary.
"""

import json
import sys
import unicodedata
from pathlib import Path

APOSTROPHES = "'\u2019"
MAGIC = "rehearse-characters 1"


def normalize(text, name="basic/1"):
    text = unicodedata.normalize("NFC", text)
    if name == "raw/1":
        return " ".join(text.split())
    if name != "basic/1":
        raise ValueError(f"data.normalizer: expected basic/1 or raw/1; found {name}; a run to compare sets one of these")
    text = unicodedata.normalize("NFC", text.lower())
    out = []
    for i, c in enumerate(text):
        if c in APOSTROPHES:
            inside = 0 < i < len(text) - 1 and _is_word(text[i - 1]) and _is_word(text[i + 1])
            out.append("'" if inside else " ")
        else:
            out.append(" " if unicodedata.category(c)[0] in "PSCZ" else c)
    return " ".join("".join(out).split())


def _is_word(c):
    return unicodedata.category(c)[0] in "LMN"


class Characters:
    """The vocabulary file: a magic line, then one character a line, "<space>" for the space; id = line order."""

    def __init__(self, path):
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        if lines[0] != MAGIC:
            raise ValueError(f"{path}:1: expected '{MAGIC}'; found '{lines[0]}'")
        self.pieces = [" " if line == "<space>" else line for line in lines[1:] if line]
        self.ids = {piece: i for i, piece in enumerate(self.pieces)}

    def __len__(self):
        return len(self.pieces)

    def encode(self, text):
        return [self.ids[c] for c in text if c in self.ids]

    def decode(self, tokens):
        return "".join(self.pieces[t] for t in tokens)


class SentencePiece:
    def __init__(self, path):
        import sentencepiece

        self.model = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def __len__(self):
        return self.model.get_piece_size()

    def encode(self, text):
        return self.model.encode(text)

    def decode(self, tokens):
        return self.model.decode(tokens)


def load_tokenizer(path):
    return SentencePiece(path) if str(path).endswith(".model") else Characters(path)


def edit_distance(reference, hypothesis):
    """Levenshtein distance of two sequences."""
    row = list(range(len(hypothesis) + 1))
    for i, r in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, h in enumerate(hypothesis, 1):
            previous, row[j] = row[j], min(previous + (r != h), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def main():
    out, manifests = sys.argv[1], sys.argv[2:]
    characters = set()
    for manifest in manifests:
        for line in filter(str.strip, Path(manifest).read_text(encoding="utf-8").split("\n")):
            characters |= set(normalize(json.loads(line)["text"]))
    lines = ["<space>" if c == " " else c for c in sorted(characters)]
    Path(out).write_text("\n".join([MAGIC, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
