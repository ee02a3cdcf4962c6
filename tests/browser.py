"""A real browser for tests: Debian's Chromium, driven by Playwright.

Playwright's own browsers are not downloaded: the one that users of the distribution have is used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

MILLISECONDS = 60_000
"""How long a page may take for what it is waited for; generous, as everywhere."""
_HOW = (
    "Chromium is not on this machine: `apt-get install chromium`, or name the program in CHROMIUM"
)


def chromium() -> str:
    """Return the path of the program; without it skip, and in CI fail."""
    names = (
        [os.environ["CHROMIUM"]] if "CHROMIUM" in os.environ else ["chromium", "chromium-browser"]
    )
    for name in names:
        if (found := shutil.which(name)) is not None:
            return found
    if os.environ.get("CI"):
        pytest.fail(_HOW, pytrace=False)
    pytest.skip(_HOW)


@contextlib.asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """A browser of its own, closed at the end."""
    program = chromium()
    # Root has no sandbox, and containers little shared memory.
    arguments = ["--disable-dev-shm-usage", "--disable-background-networking"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=program, args=arguments, timeout=MILLISECONDS
        )
        try:
            yield started
        finally:
            await started.close()


async def open_page(browser: Browser, **options: Any) -> tuple[Page, list[str]]:
    """Open a page that trusts any certificate, and a list of what it complains of.

    The list grows by each error of a script, and each line that the page writes as an error.
    """
    context = await browser.new_context(ignore_https_errors=True, **options)
    context.set_default_timeout(MILLISECONDS)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on(
        "console",
        lambda line: complaints.append(f"console: {line.text}") if line.type == "error" else None,
    )
    return page, complaints
