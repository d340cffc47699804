"""Whole epochs from a CSV file by Keras and tf.data: path, columns, epochs, batch size. Microseconds of CPU a record."""
import os, sys, time
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
import keras
from common import figure

path, columns, epochs, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
model = keras.Sequential([keras.layers.Input((columns,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(64, "relu"), keras.layers.Dense(2)])
model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
began = time.process_time()
data = tf.data.experimental.CsvDataset(path, [tf.float32] * columns + [tf.int32], header=True)
data = data.batch(4096).map(lambda *c: (tf.stack(c[:-1], 1), c[-1])).unbatch().cache().shuffle(100_000, seed=1).batch(batch).prefetch(2)
norm = keras.layers.Normalization()
norm.adapt(data.map(lambda x, y: x).take(1000 // batch + 1))
data = data.map(lambda x, y: (norm(x), y))
model.fit(data, epochs=epochs, verbose=0)
records = sum(1 for _ in open(path)) - 1
figure((time.process_time() - began) * 1e6 / (records * epochs))
