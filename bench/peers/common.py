"""What the peers share: data, and how a figure is measured and printed."""
import json, time
import numpy as np

WARMUP = 20


def batches(model, batch, count=8):
    r = np.random.default_rng(7)
    shape = (784,) if model == "mlp" else (28, 28, 1)
    return [(r.random((batch, *shape), dtype=np.float32), r.integers(0, 10, batch)) for _ in range(count)]


def figure(value):
    print(json.dumps({"figure": value}))


def per_step(step, steps):
    """Milliseconds of CPU a step, after some to warm up."""
    for i in range(WARMUP):
        step(i)
    began = time.process_time()
    for i in range(steps):
        step(i)
    figure((time.process_time() - began) * 1000 / steps)
