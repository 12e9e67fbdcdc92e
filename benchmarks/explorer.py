"""The explorer: how long its page takes to show the map, and how it does under load for two minutes.

    foretaste demo --study foretaste-demo --no-open
    python benchmarks/explorer.py foretaste-demo [--seconds 120] [--clients 20]

Every client reads the state and its sections now and then and drags in between (an exact prediction every .2 s); two of
them also ask for work: previews and sharpened previews at random weights, one after the other. Each client holds an
event stream open. Kept are the number of requests, errors, and percentiles of their time in milliseconds.

Before that, a browser without a cache opens the page some times, while nothing else is asked of the server. Kept is the
time from the start of the navigation until the frame in which the map is drawn. ``--seconds 0`` measures nothing
else, and keeps the other figures of the last result.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import sync_playwright

RESULT = Path(__file__).parent / "results" / "explorer.json"

DRAWN = """() => {
  const look = () => {
    if (document.querySelector(".map polygon, .map path, .map image, .map canvas")) {
      requestAnimationFrame(() => { window.drawn = performance.now(); });
    } else requestAnimationFrame(look);
  };
  look();
}"""  # milliseconds since the navigation began


def page_loads(address: str, count: int) -> list[float]:
    """Open the page in a new context each time, and return the milliseconds until its map is drawn."""
    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(count):
            context = browser.new_context(viewport={"width": 1280, "height": 1000})
            page = context.new_page()
            page.add_init_script(f"({DRAWN})()")
            page.goto(address)
            page.wait_for_function("window.drawn")
            found.append(float(page.evaluate("window.drawn")))
            context.close()
        browser.close()
    return found


def weights(tasks: list[str], chance: np.random.Generator) -> str:
    rounded = [round(float(share), 3) for share in chance.dirichlet(np.ones(len(tasks)))]
    rounded[0] = round(1 - sum(rounded[1:]), 3)
    return ",".join(f"{task}={share}" for task, share in zip(tasks, rounded, strict=True))


class Load:
    """All clients together.

    Args:
        base: The server.
        token: Of its address.
        end: When to stop.
    """

    def __init__(self, base: str, token: str, end: float) -> None:
        self.base, self.headers, self.end = base, {"x-foretaste-token": token}, end
        self.times: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []
        self.events = 0

    async def ask(
        self,
        client: httpx.AsyncClient,
        kind: str,
        path: str,
        params: dict[str, str] | None = None,
        body: dict[str, str] | None = None,
    ) -> httpx.Response | None:
        start = time.perf_counter()
        try:
            answer = await client.request("GET" if body is None else "POST", path, params=params, json=body)
        except httpx.HTTPError as error:
            self.errors.append(f"{kind}: {error!r}")
            return None
        self.times[kind].append(1000 * (time.perf_counter() - start))
        if answer.status_code >= 400:
            self.errors.append(f"{kind}: {answer.status_code} {answer.text[:80]}")
        return answer

    async def reader(self, number: int) -> None:
        chance = np.random.default_rng(number)
        async with httpx.AsyncClient(base_url=self.base, headers=self.headers, timeout=30) as client:
            listening = asyncio.create_task(self.listen(client))
            first = await self.ask(client, "state", "/api/state")
            tasks = [task["name"] for task in first.json()["tasks"]] if first else []
            while time.perf_counter() < self.end:
                for _ in range(20):
                    await self.ask(client, "predict", "/api/predict", params={"weights": weights(tasks, chance)})
                    await asyncio.sleep(0.2)
                await self.ask(client, "state", "/api/state")
                await self.ask(client, "sections", "/api/sections")
            listening.cancel()

    async def listen(self, client: httpx.AsyncClient) -> None:
        with suppress(asyncio.CancelledError):
            async with client.stream("GET", "/api/events") as stream:
                async for line in stream.aiter_lines():
                    self.events += line.startswith("event:")

    async def worker(self, kind: str, number: int) -> None:
        chance = np.random.default_rng(1000 + number)
        async with httpx.AsyncClient(base_url=self.base, headers=self.headers, timeout=30) as client:
            tasks = [task["name"] for task in (await client.get("/api/state")).json()["tasks"]]
            while time.perf_counter() < self.end:
                job = await self.ask(
                    client, "work", "/api/jobs", body={"kind": kind, "weights": weights(tasks, chance)}
                )
                while job is not None and time.perf_counter() < self.end:
                    listed = (await self.ask(client, "jobs", "/api/jobs")) or job
                    if next((each["state"] for each in listed.json() if each["id"] == job.json()["id"]), "done") in (
                        "done",
                        "failed",
                    ):
                        break
                    await asyncio.sleep(0.5)

    async def run(self, clients: int) -> None:
        work = [self.worker(kind, number) for number, kind in enumerate(("preview", "sharpen"))]
        await asyncio.gather(*(self.reader(number) for number in range(clients)), *work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--loads", type=int, default=10)
    asked = parser.parse_args()
    command = [sys.executable, "-m", "foretaste", "explore", str(asked.study), "--no-open", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        address = json.loads(next(iter(server.stdout or ())))["address"]
        base, token = address.split("/?token=")
        opening = describe_loads(page_loads(address, asked.loads))
        if not asked.seconds:
            server.terminate()
            keep(json.loads(RESULT.read_text()) | {"milliseconds to the map": opening})
            return
        load = Load(base, token, time.perf_counter() + asked.seconds)
        asyncio.run(load.run(asked.clients))
        with httpx.Client(base_url=base, headers=load.headers) as client:
            done = sum(job["state"] == "done" for job in client.get("/api/jobs").json())
        server.terminate()
    reads = [each for kind in ("state", "predict", "sections", "jobs") for each in load.times[kind]]
    found = {
        "command": "python benchmarks/explorer.py STUDY",
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "load before": os.getloadavg()[0],
        "clients": asked.clients,
        "seconds": asked.seconds,
        "milliseconds to the map": opening,
        "errors": len(load.errors),
        "jobs done": done,
        "events": load.events,
        "p95 of reads": percentile(reads, 95),
        **{
            kind: {"count": len(each), "median": statistics.median(each), "p95": percentile(each, 95)}
            for kind, each in load.times.items()
        },
    }
    keep(found)
    print("\n".join(load.errors[:10]))


def describe_loads(times: list[float]) -> dict[str, object]:
    """Sum up how long the page took, and say when and under which load that was."""
    facts = {"date": time.strftime("%Y-%m-%d"), "load before": os.getloadavg()[0]}
    return {"count": len(times), "median": statistics.median(times), "most": max(times), **facts}


def keep(found: dict[str, object]) -> None:
    """Print a result, and write it to its file."""
    rounded = json.loads(json.dumps(found), parse_float=lambda text: float(f"{float(text):.4g}"))
    print(json.dumps(rounded, indent=1))
    RESULT.write_text(json.dumps(rounded, indent=1) + "\n")


def percentile(numbers: list[float], share: int) -> float:
    return statistics.quantiles(numbers, n=100)[share - 1] if len(numbers) > 1 else 0.0


if __name__ == "__main__":
    main()
