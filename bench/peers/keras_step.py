"""Keras' fit on batches that are ready-made: model, batch size, steps. One epoch of fit is timed, a first one warms up."""
import os, sys, time
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
import keras
from common import batches, figure, WARMUP
from keras_models import build

model_name, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
model = build(model_name)
model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def data(count):
    ready = batches(model_name, batch)
    xs = np.concatenate([ready[i % len(ready)][0] for i in range(count)])
    ys = np.concatenate([ready[i % len(ready)][1] for i in range(count)])
    return xs, ys


class Clock(keras.callbacks.Callback):
    """Of the steps alone: what fit does before and after them is not theirs."""
    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        self.took = time.process_time() - self.began


model.fit(*data(WARMUP), batch_size=batch, epochs=1, verbose=0, shuffle=False)
clock = Clock()
model.fit(*data(steps), batch_size=batch, epochs=1, verbose=0, shuffle=False, callbacks=[clock])
figure(clock.took * 1000 / steps)
