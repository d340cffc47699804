"""From nothing to the first step of Keras: reads a CSV file, builds, trains one batch. The parent measures."""
import os, sys
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import keras

table = np.loadtxt(sys.argv[1], delimiter=",", skiprows=1, dtype=np.float32)
x, y = table[:, :-1], table[:, -1].astype(np.int32)
model = keras.Sequential([keras.layers.Input((x.shape[1],)), keras.layers.Dense(32, "relu"), keras.layers.Dense(2)])
model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x[:32], y[:32], batch_size=32, epochs=1, verbose=0)
print("first step", flush=True)
