"""Attacks, a program that hides marks everywhere, and walks that look for them, over and over, with every reset compared with the image.

    python tests/unit/sandbox/leak_campaign.py [--runs N] [--workers W]

Beside its result it prints the process's memory after the first thousand runs and at the end. Exit status 1 if anything was found.
"""

import argparse
import re
import sys
import time
from pathlib import Path

from test_attacks import AFTERWARDS, ATTACKS, EXPECTED, HIDE, PARTS, SEEK

from tina_azr.sandbox import Limits, Sandbox, StaticPolicy

LIMITS = Limits(fuel=60_000_000, wall_ms=20_000, memory_bytes=96 << 20, output_bytes=10_000)
"""Less fuel than the tests give: an attack that only burns it has nothing more to do."""
CLEAN = "(True, [])"


def anonymous_mb() -> float:
    """Resident memory of this process that is no file's, in MB."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"RssAnon:\s+(\d+)", text)[0]) / 1024


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    wanted = parser.parse_args()
    attacks = [(program, call) for program, call, _ in ATTACKS.values()]
    batch = [job for attack in [*attacks, (HIDE, "len(kept)")] for job in (attack, (SEEK, PARTS), AFTERWARDS)]
    done, faults, began, early = 0, 0, time.monotonic(), 0.0
    with Sandbox(limits=LIMITS, policy=StaticPolicy.OPEN, verify_every=1, workers=wanted.workers) as sandbox:
        while done < wanted.runs:
            outcomes = sandbox.run_many(batch)
            done += len(batch)
            for number, outcome in enumerate(outcomes):
                expected = (None, CLEAN, EXPECTED)[number % 3]
                if expected is not None and outcome.value != expected:
                    faults += 1
                    print(f"after {batch[number - number % 3]!r}: {outcome}")
            if done // 5_000 > (done - len(batch)) // 5_000:
                print(f"{done:,} runs, {faults} faults", flush=True)
            early = early or (anonymous_mb() if done >= 1_000 else 0.0)
    seconds = time.monotonic() - began
    print(f"{done:,} runs, every reset compared with the image, {faults} faults, {seconds:.0f} s, {wanted.workers} workers")
    print(f"memory that is no file's: {early:.1f} MB after 1,000 runs, {anonymous_mb():.1f} MB at the end")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
