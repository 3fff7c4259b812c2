"""Check the built reference: ``python check_docs.py build/docs``.

Links: every one that stays inside leads to a file, and to an anchor in it. Browser, in headless Chromium: the page with
the mask shows what simdrop.Mask keeps, elements only fall as p rises, a wrong seed is refused; the search finds pages.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import importlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import simdrop

TOP = 2**64 - 1
# seed, stream, p in thousandths: small numbers; both words of seed and stream; the ends of p; all eight planes and ties
MASKS = ((42, 0, 500), (0, 0, 1), (TOP, TOP, 999), (2**32, 2**63 + 7, 100), (20240601, 5, 0), (1, 2**32 - 1, 1000))
SEARCHES = {
    "drop_path": "api/family.html",
    "uncertainty": "uncertainty.html",
    "EarlyDropout": "api/schedules.html",
    "Philox": "mask-format.html",
}
KEPT, FALLEN = (0, 114, 178), (230, 159, 0)


class Page(HTMLParser):
    """Where a page leads, and what can be led to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            if name in ("id", "name") and value:
                self.anchors.add(value)


def links(folder: Path) -> None:
    pages = {path: Page(path) for path in folder.rglob("*.html") if "_static" not in path.parts}
    broken, count = [], 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            count += 1
            anchors = pages[target].anchors if target in pages else {parts.fragment}
            if not target.is_file() or unquote(parts.fragment) not in anchors:
                broken.append(f"{path.relative_to(folder)}: {link}")
    print(f"{len(pages)} pages, {count} links inside")
    assert pages, f"no pages in {folder}"
    assert not broken, "\n".join(broken)


def grid(browser: Any) -> Any:
    """Return the colours of the grid, (32, 32, 3)."""
    pixels = browser.execute_script(
        "const g = document.getElementById('mask-grid');"
        "return Array.from(g.getContext('2d').getImageData(0, 0, g.width, g.height).data)"
    )
    return np.array(pixels, np.uint8).reshape(32, 32, 4)[..., :3]


def enter(browser: Any, **values: object) -> None:
    for name, value in values.items():
        browser.execute_script(
            f"const box = document.getElementById('mask-{name}'); box.value = '{value}';"
            "box.dispatchEvent(new Event('input', {bubbles: true}))"
        )


def mask(browser: Any, address: str) -> None:
    browser.get(f"{address}/playground.html")
    for seed, stream, p in MASKS:
        enter(browser, seed=seed, stream=stream, p=p)
        expected = simdrop.Mask((32, 32), p / 1000, seed=seed, stream=stream)
        shown = (grid(browser) == KEPT).all(axis=-1)
        assert (shown == expected.keep()).all(), expected
        text = browser.find_element("id", "mask-text").text
        made, _, comment = text.partition("  # ")
        assert eval(made) == expected, text
        assert comment.startswith(f"{expected.count_kept()} of"), text
    print(f"{len(MASKS)} masks in the browser are those of simdrop")
    enter(browser, seed=42, stream=0, p=300)
    low = (grid(browser) == KEPT).all(axis=-1)
    enter(browser, p=400)
    colours = grid(browser)
    high, fallen = (colours == KEPT).all(axis=-1), (colours == FALLEN).all(axis=-1)
    assert (low >= high).all(), "an element came back"
    assert (fallen == (low & ~high)).all()
    assert fallen.any()
    enter(browser, seed="-1")
    assert not browser.execute_script("return document.getElementById('mask-seed').validity.valid")
    assert (grid(browser) == colours).all(), "a wrong seed changes nothing"


def search(browser: Any, address: str) -> None:
    for words, page in SEARCHES.items():
        browser.get(f"{address}/search.html?q={words}")
        found: list[str] = []
        for _ in range(100):
            found = [a.get_attribute("href") for a in browser.find_elements("css selector", "#search-results li a")]
            if any(page in link for link in found):
                break
            time.sleep(0.1)
        assert any(page in link for link in found), f"{words}: {page} is not among {found}"
    print(f"{len(SEARCHES)} searches find their page")


def errors(browser: Any) -> None:
    said = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not said, "\n".join(said)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the folder, because the search fetches pages for its excerpts; give the address."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Says nothing of each request."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def main(folder: Path) -> int:
    links(folder)
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        print("SKIPPED: the browser test, because chromium and chromedriver were not found")
        return 0
    webdriver = importlib.import_module("selenium.webdriver")

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    os.environ["SE_OFFLINE"] = "true"  # selenium would look for another driver
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        mask(browser, folder.as_uri())  # needs no server
        with served(folder) as address:
            search(browser, address)
        errors(browser)
    finally:
        browser.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
