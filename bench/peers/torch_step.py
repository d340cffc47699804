"""PyTorch, eager, on batches that are ready-made: model, batch size, steps."""
import os, sys
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
import torch
from torch import nn
from common import batches, per_step

model_name, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
torch.manual_seed(1)


def build():
    if model_name == "mlp":
        return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    parts, channels = [], 1
    for filters in (32, 64):
        parts += [nn.Conv2d(channels, filters, 3, padding="same"), nn.ReLU()]
        if model_name == "cnn-bn":
            parts.append(nn.BatchNorm2d(filters))
        parts.append(nn.MaxPool2d(2))
        channels = filters
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(64 * 7 * 7, 10))


model = build()
optimizer = torch.optim.Adam(model.parameters(), 1e-3)
loss = nn.CrossEntropyLoss()
ready = []
for x, y in batches(model_name, batch):
    x = torch.from_numpy(x)
    ready.append((x if model_name == "mlp" else x.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(y)))


def step(i):
    x, y = ready[i % len(ready)]
    optimizer.zero_grad(set_to_none=True)
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    value.item()  # the loss is looked at after each step, as it is here


per_step(step, steps)
