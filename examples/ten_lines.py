"""A flow in ten lines: two maps, of which the second takes the first one's results item by item.

No network is needed: the pages come from a dictionary, after a moment, and one of them not at the first attempt.
"""

import asyncio
import re

from millrace import flow, run, task

PAGES = {"/": '<a href="/about"> <a href="/news">', "/about": '<a href="/">', "/news": '<a href="/"> <a href="/about">'}
visits: list[str] = []


@task(retries=3, retry_delay_seconds=[0.01, 0.1, 1], tags=["http"])
async def fetch(url: str) -> str:
    visits.append(url)
    await asyncio.sleep(0)
    if url == "/news" and visits.count(url) < 2:
        raise ConnectionError(url)
    return PAGES[url]


@task  # a sync one runs in a thread of the engine's own
def links(page: str) -> list[str]:
    return re.findall(r'href="([^"]+)"', page)


@flow
async def crawl(urls: list[str]) -> int:
    found = links.map(fetch.map(urls))  # item by item: no barrier between the two
    return sum(len(each) for each in await found)


if __name__ == "__main__":
    print(run(crawl, urls=list(PAGES)))  # or, in any running loop: await crawl([...])
