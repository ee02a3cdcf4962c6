"""Fixtures of the tests of the process tree."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from stub_tree import Tree


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[Tree]:
    made = Tree(tmp_path)
    yield made
    await made.close()
