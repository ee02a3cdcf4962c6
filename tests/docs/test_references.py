"""What the documentation names is there: links, files, tests, settings."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from gw.core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")],
    key=lambda page: page.as_posix(),
)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FOLDER = re.compile(r"(?:gw|tests|deploy|docs|bench|loadtest)/[\w./*-]*")
SECTIONS = {
    section.name: {field.name for field in msgspec.structs.fields(section.type)}
    for section in msgspec.structs.fields(Settings)
}
TESTS = set(
    re.findall(
        r"^(?:async )?def (test_\w+)",
        "\n".join(file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py")),
        re.MULTILINE,
    )
)


def anchor(heading: str) -> str:
    """The anchor that a renderer gives to a heading."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_is_there(page):
    text = page.read_text("utf-8")
    prose = FENCE.sub("", text)
    missing = []
    for link in LINK.findall(prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, part = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists():
            missing.append(link)
        elif part:
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            missing += [] if part in map(anchor, headings) else [link]
    for code in CODE.findall(prose):
        if FOLDER.fullmatch(code):
            found = any(ROOT.glob(code.rstrip("/"))) if "*" in code else (ROOT / code).exists()
            missing += [] if found else [code]
        elif re.fullmatch(r"test_[a-z0-9_]+", code):
            missing += [] if code in TESTS else [code]
        elif re.fullmatch(r"[a-z]+\.[a-z_]+", code):
            section, _, key = code.partition(".")
            known = section not in SECTIONS or key in SECTIONS[section]
            missing += [] if known or key in ("py", "md", "db") else [code]
    assert not missing
