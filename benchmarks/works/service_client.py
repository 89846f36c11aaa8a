"""A client: `python -m benchmarks.works.service_client URL WARM REQUESTS` prints how many milliseconds answers took."""

import json
import sys
from time import perf_counter

import httpx


def main() -> None:
    """Send requests one after another, over one connection."""
    url, warm, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    took: list[float] = []
    with httpx.Client(timeout=60) as client:
        for _ in range(warm + requests):
            asked = perf_counter()
            client.get(url).raise_for_status()
            took.append((perf_counter() - asked) * 1e3)
    counted = sorted(took[warm:])
    json.dump({"p50": counted[requests // 2], "p99": counted[requests * 99 // 100]}, sys.stdout)


if __name__ == "__main__":
    main()
