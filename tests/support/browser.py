"""A real Chromium for the tests of pages: one for the session, a fresh context for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NEEDED = "MMDPO_TESTS_NEED_BROWSER"  # set by .ci/run: tests fail instead of being skipped without Chromium
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium of the system."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        reason = f"no Chromium: install one of {', '.join(NAMES)}"
        (pytest.fail if os.environ.get(NEEDED) else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of 1400 px; script errors, and requests for anything but files of the disk, fail the test."""
    with chromium.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce") as context:
        context.set_default_timeout(10_000)
        found, faults = context.new_page(), list[str]()
        found.on("pageerror", lambda error: faults.append(str(error)))
        found.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        found.on("request", lambda one: None if one.url.startswith(("file:", "data:")) else faults.append(one.url))
        yield found
        assert not faults
