from keras import Sequential, layers


def build(name):
    if name == "mlp":
        return Sequential([layers.Input((784,)), layers.Dense(512, "relu"), layers.Dense(512, "relu"), layers.Dense(10)])
    parts = [layers.Input((28, 28, 1))]
    for filters in (32, 64):
        parts.append(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        if name == "cnn-bn":
            parts.append(layers.BatchNormalization())
        parts.append(layers.MaxPooling2D())
    return Sequential([*parts, layers.Flatten(), layers.Dense(10)])
