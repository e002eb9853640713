"""What a document holds: blocks of code, the files they are, and commands, each with its line."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("robopolicy", "robopolicy-runtime")
_NAME = re.compile(r"`(?:[^`\n]* )?([\w/]+\.(?:py|toml|txt))`")
_SHELL = re.compile(r"^(?:do|for .*; do|time)\s+")
STANDS_FOR = {"TASK": "go2_velocity", "RUN": "run", "NAME": "go2", "DIR": "folder"}
"""What a command's capitals are, where it speaks of any task, run or name."""


@dataclass
class Block:
    """A block of code.

    Attributes:
        language: As it is marked, or empty.
        line: Its first line in the document.
        text: Its content.
        file: The file that it is, by the text above it, or None.
    """

    language: str
    line: int
    text: str
    file: str | None


@dataclass
class Page:
    """A document.

    Attributes:
        path: Where it lies.
        blocks: Its blocks of code, in order.
        prose: Every other line, by its number.
    """

    path: Path
    blocks: list[Block] = field(default_factory=list)
    prose: dict[int, str] = field(default_factory=dict)


def read(path: Path) -> Page:
    """Take a Markdown file apart."""
    page, open_at, language, lines = Page(path), 0, "", []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        fence = re.match(r"\s*```(\S*)", line)
        if fence and not open_at:
            open_at, language, lines = number + 1, fence[1], []
        elif fence:
            above = _paragraph_above(page.prose, open_at - 2)
            names = _NAME.findall(above)
            page.blocks.append(Block(language, open_at, "\n".join(lines) + "\n", names[-1] if names else None))
            open_at = 0
        elif open_at:
            lines.append(line)
        else:
            page.prose[number] = line
    assert not open_at, f"{path}:{open_at}: a block of code that does not end"
    return page


def commands(page: Page) -> Iterator[tuple[int, list[str]]]:
    """Every command of ours, in blocks and within the text: its line and its words."""
    for block in page.blocks:
        if not block.language:
            for line, words in shell(block):
                if words[0] in PROGRAMS:
                    yield line, words
    for number, line in page.prose.items():
        for code in (part for span in re.findall(r"`([^`]+)`", line) for part in span.split("&&")):
            words = code.split() or [""]
            if words[0] in PROGRAMS and len(words) > 1 and not re.search(r"[A-Z]+ \[|COMMAND|\.\.\.$| \| ", code):
                named = all(re.fullmatch("[a-z-]+", word) for word in words)  # a command's name, and no more
                yield number, [general(word) for word in shlex.split(code)] + ["--help"] * named


def shell(block: Block) -> Iterator[tuple[int, list[str]]]:
    """Every simple command of a block of shell: its line and its words. Variables that it sets are put in."""
    known = {"s": "0"}
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        for part in re.split(r"&&|;", _SHELL.sub("", line.strip())):
            part = re.sub(r"\$(\w+)", lambda m: known.get(m[1], m[0]), part)
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # an apostrophe of a text that is no command
                words = part.split()
            if words and re.fullmatch(r"\w+=.*", words[0], re.DOTALL):
                name, _, known_value = words[0].partition("=")
                known[name] = known_value
            elif words:
                first = words.index("--") + 1 if words[0] == "torchrun" and "--" in words else 0
                yield number, words[first:]


def general(word: str) -> str:
    """A word with something that exists in the place of capitals."""
    for capitals, name in STANDS_FOR.items():
        word = re.sub(rf"\b{capitals}\b", name, word)
    return word


def links(page: Page) -> Iterator[tuple[int, str]]:
    """Every relative link and picture: its line and where it points."""
    for number, line in page.prose.items():
        for target in re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", line):
            link = "".join(target)
            if not re.match(r"[a-z]+:|#", link):
                yield number, link.partition("#")[0]


def _paragraph_above(prose: dict[int, str], line: int) -> str:
    while line in prose and not prose[line].strip():
        line -= 1
    found = []
    while line in prose and prose[line].strip():
        found.insert(0, prose[line])
        line -= 1
    return "\n".join(found)
