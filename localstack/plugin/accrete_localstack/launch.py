"""Starts LocalStack so that it ends with whoever started it, however that one ended: its standard input is at its end then.

Its Lambdas are processes of its own process group, so all of them end at once. Whoever starts this gives it a group of its own.
"""

import os
import runpy
import signal
import sys
import threading


def end_with_input():
    sys.stdin.buffer.read()
    os.killpg(os.getpgid(0), signal.SIGKILL)  # nothing of it is to be kept, and SIGTERM takes it 10 seconds


threading.Thread(target=end_with_input, daemon=True).start()
runpy.run_module("localstack.runtime.main", run_name="__main__")
