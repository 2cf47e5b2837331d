"""What tests of the dashboard start, and how they wait for it."""

import time

SHORT = ("--preset", "vae-digits", "--set", "training.log_every=1", "--set", "training.checkpoint_every=20")


def wait(condition, what: str, seconds: float = 90):
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return result
