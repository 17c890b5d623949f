"""Run one target under atheris; ``python -m fuzz`` starts this in a process for each target.

libFuzzer owns the process: it writes to standard error, and ends the process itself.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import atheris

from fuzz.report import Reporter
from fuzz.target import read_corpus

with atheris.instrument_imports(include=["restkit"]):
    from fuzz.targets import TARGETS


def write_inputs(folder: Path, inputs: list[bytes]) -> None:
    """Write each input to a file that is named after its bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        folder.joinpath(hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def write_words(path: Path, words: list[bytes]) -> None:
    """Write the dictionary of libFuzzer: one quoted word on each line."""
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words if word]
    path.write_text("".join(lines), encoding="ascii")


def main() -> None:
    """Run the target that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()
    target = TARGETS[options.name]
    corpus = options.folder / options.name
    words = options.folder / f"{options.name}.words"
    write_inputs(corpus, [*target.seeds, *read_corpus(options.name)])
    write_words(words, list(target.words))
    arguments = [
        sys.argv[0],
        str(corpus),
        f"-max_total_time={options.seconds}",
        f"-max_len={target.max_length}",
        f"-seed={options.seed}",
        f"-artifact_prefix={options.folder}/{options.name}-",
        "-timeout=25",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        *([f"-dict={words}"] if target.words else []),
    ]
    atheris.Setup(arguments, Reporter(options.name, target.check, keep_going=options.keep_going))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
