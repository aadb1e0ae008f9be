"""Manifests in which a share of the texts is wrong: those of other utterances of the same domain.

`python mislabel.py DATA OUT SHARE DOMAIN...` writes OUT/<domain>.jsonl (audio paths absolute) and OUT/wrong.txt, the
paths of the utterances with a wrong text. What is chosen follows from the manifests alone, so it is the same everywhere.
`python mislabel.py --score OUT LIST.jsonl` prints recall and precision of a list of suspects (rehearse quarantine --out).
"""

import hashlib
import json
import sys
from pathlib import Path


def order(name):
    return hashlib.sha256(name.encode()).hexdigest()


def mislabel(lines, share):
    """Moves the texts of the chosen lines round in a ring; returns those whose text is another one now."""
    chosen = sorted(lines, key=lambda line: order(line["audio_filepath"]))[: round(share * len(lines))]
    texts = [line["text"] for line in chosen]
    for line, text in zip(chosen, texts[1:] + texts[:1]):
        line["is_wrong"] = line["text"] != text
        line["text"] = text
    return [line for line in chosen if line.pop("is_wrong")]


def write(data, out, share, domains):
    out.mkdir(parents=True, exist_ok=True)
    wrong = []
    for domain in domains:
        lines = [json.loads(line) for line in (data / domain / "train.jsonl").read_text(encoding="utf-8").splitlines()]
        of_domain = mislabel(lines, share)
        for line in lines:
            line["audio_filepath"] = str((data / domain / line["audio_filepath"]).resolve())
        wrong += [line["audio_filepath"] for line in of_domain]
        (out / f"{domain}.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines),
                                             encoding="utf-8")
        print(f"{domain}: {len(of_domain)} of {len(lines)} texts are wrong")
    (out / "wrong.txt").write_text("".join(path + "\n" for path in wrong), encoding="utf-8")


def score(out, suspects):
    wrong = set((out / "wrong.txt").read_text(encoding="utf-8").split("\n")) - {""}
    found = {}
    for line in suspects.read_text(encoding="utf-8").splitlines():
        utterance = json.loads(line)
        found[str((suspects.parent / utterance["audio_filepath"]).resolve())] = utterance["domain"]
    for domain in sorted({Path(path).parts[-3] for path in wrong}):
        planted = {path for path in wrong if Path(path).parts[-3] == domain}
        listed = {path for path, of in found.items() if of == domain}
        right = len(planted & listed)
        print(f"{domain}: {len(listed)} listed, {right} of them of the {len(planted)} wrong ones "
              f"(recall {right / len(planted):.2f}, precision {right / max(1, len(listed)):.2f})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--score"]:
        score(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        write(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
