"""Python's safetensors: save or load, path, MB. Wall-clock milliseconds."""
import os, sys, time
import numpy as np
from safetensors.numpy import load_file, save_file
from common import figure

what, path, mb = sys.argv[1], sys.argv[2], int(sys.argv[3])
tensors = {f"t{i}": np.random.default_rng(i).random((mb * 250_000) // 10, dtype=np.float32) for i in range(10)}
save_file(tensors, path)
times = []
for _ in range(5):
    began = time.perf_counter()
    if what == "save":
        save_file(tensors, path)
    else:
        load_file(path)
    times.append((time.perf_counter() - began) * 1000)
os.remove(path)
figure(sorted(times)[2])
