"""The page of `millrace bench limits`, in a real browser without a network."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from millrace.runtime.benching.laws import Saturation, UniversalScalability
from millrace.runtime.benching.page import as_html
from millrace.runtime.benching.report import Report
from tests.chromium import INSTALL_SECONDS, chromium, look_at
from tests.runtime.benching.trials_made import failing_report, report

RIVALS = ("asyncio.Semaphore", "anyio.CapacityLimiter", "aiometer", "ThreadPoolExecutor")

# What only a browser knows: where each text lies, which ones lie on others, and what was asked of the network.
CHECK = """
<script>
window.addEventListener("load", function () {
  const texts = Array.from(document.querySelectorAll("svg text")).map(function (each) {
    return { said: each.textContent, box: each.getBoundingClientRect(),
             frame: each.ownerSVGElement.getBoundingClientRect() };
  });
  const slack = 1.5;
  const lying = [];
  texts.forEach(function (one, index) {
    texts.slice(index + 1).forEach(function (other) {
      const a = one.box, b = other.box;
      const beside = a.left + slack >= b.right || b.left + slack >= a.right;
      const below = a.top + 2 * slack >= b.bottom || b.top + 2 * slack >= a.bottom;
      if (!beside && !below) {
        lying.push(one.said + " / " + other.said);
      }
    });
  });
  const outside = texts.filter(function (one) {
    return one.box.left < one.frame.left - 1 || one.box.right > one.frame.right + 1
      || one.box.top < one.frame.top - 1 || one.box.bottom > one.frame.bottom + 1;
  }).map(function (one) { return one.said; });
  const found = document.createElement("pre");
  found.id = "found";
  found.textContent = JSON.stringify({
    texts: texts.length, lying: lying, outside: outside,
    asked: performance.getEntriesByType("resource").map(function (each) { return each.name; }),
    tip: document.getElementById("tip").textContent,
    tipShown: !document.getElementById("tip").hidden,
    pointed: Array.from(document.querySelectorAll("tr.pointed")).map(function (row) { return row.dataset.limit; }),
    crosses: document.querySelectorAll(".cross").length,
    paper: getComputedStyle(document.body).backgroundColor,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  });
  document.body.appendChild(found);
});
</script>
"""


def looked_at(shown: Report, folder: Path, *flags: str, at: str = "") -> dict[str, Any]:
    """What a browser finds out about the page of a report."""
    page = folder / "limits.html"
    page.write_text(as_html(shown).replace("</body>", f"{CHECK}</body>"), encoding="utf-8")

    dom, console = look_at(chromium(), f"{page.as_uri()}{at}", folder / "profile", *flags)

    assert console == ""
    match = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert match is not None
    found: dict[str, Any] = json.loads(unescape(match[1]))
    return found


@pytest.mark.timeout(INSTALL_SECONDS + 60)
def test_the_page_opens_without_a_network_and_shows_the_limit_that_is_pointed_at(tmp_path: Path) -> None:
    shown = report(Saturation(20.0, 20.0, 0.15), rivals=RIVALS, chosen=17)

    found = looked_at(shown, tmp_path, "--window-size=1000,1600", at="#limit-16")

    assert found["asked"] == []
    assert found["texts"] > 40
    assert (found["lying"], found["outside"], found["wide"]) == ([], [], False)
    assert (found["pointed"], found["crosses"], found["tipShown"]) == (["16"], 2, True)
    assert found["tip"].splitlines()[:2] == ["limit     16", "runs/s    320"]
    assert found["paper"] == "rgb(255, 255, 255)"


@pytest.mark.timeout(INSTALL_SECONDS + 60)
def test_the_page_is_dark_where_that_is_wanted_and_fits_a_telephone(tmp_path: Path) -> None:
    found = looked_at(failing_report(), tmp_path, "--window-size=500,900", "--blink-settings=preferredColorScheme=0")

    assert found["paper"] == "rgb(20, 24, 27)"
    assert (found["lying"], found["outside"], found["wide"]) == ([], [], False)
    assert (found["pointed"], found["tipShown"]) == ([], False)


@pytest.mark.timeout(INSTALL_SECONDS + 60)
def test_a_page_without_a_knee_is_a_page(tmp_path: Path) -> None:
    found = looked_at(report(UniversalScalability(10.0, 0.0, 0.0), chosen=120), tmp_path, "--window-size=1000,1600")

    assert (found["lying"], found["outside"], found["asked"]) == ([], [], [])
