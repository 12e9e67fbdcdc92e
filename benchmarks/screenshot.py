"""The picture that the README opens with: the explorer on the demo's study.

pip install -e '.[test]' -c constraints.txt      # playwright; and a chromium, on Debian: apt-get install chromium
foretaste demo --study foretaste-demo --no-open
python benchmarks/screenshot.py foretaste-demo
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

OUT = Path(__file__).parents[1] / "docs" / "explorer.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--at", default="#weights=upright=0.3,turned=0.4,flipped=0.3", help="the address's fragment")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=980)
    asked = parser.parse_args()
    command = [sys.executable, "-m", "foretaste", "explore", str(asked.study), "--no-open", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as driver:
        address = json.loads(next(iter(server.stdout or ())))["address"]
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        size = ViewportSize(width=asked.width, height=asked.height)
        page = browser.new_page(viewport=size, color_scheme="dark" if asked.dark else "light", device_scale_factor=1.5)
        page.goto(address + asked.at)
        page.wait_for_selector(".jobs p")
        page.screenshot(path=asked.out)
        browser.close()
        server.terminate()
    print(f"wrote {asked.out}")


if __name__ == "__main__":
    main()
