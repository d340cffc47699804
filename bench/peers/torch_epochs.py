"""Whole epochs from a CSV file by PyTorch's DataLoader: path, columns, epochs, batch size. Microseconds of CPU a record."""
import os, sys, time
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from common import figure

path, columns, epochs, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(1)
began = time.process_time()
table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)
x, y = torch.from_numpy(table[:, :-1].copy()), torch.from_numpy(table[:, -1].astype(np.int64))
x = (x - x[:1000].mean(0)) / x[:1000].std(0)
model = nn.Sequential(nn.Linear(columns, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
optimizer = torch.optim.Adam(model.parameters(), 1e-3)
loss = nn.CrossEntropyLoss()
for _ in range(epochs):
    for bx, by in DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True):
        optimizer.zero_grad(set_to_none=True)
        loss(model(bx), by).backward()
        optimizer.step()
figure((time.process_time() - began) * 1e6 / (len(x) * epochs))
