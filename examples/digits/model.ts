import { defineModel } from "@accrete/pipeline";

/** 784-128-10: 101,770 weights. */
export default defineModel({
  build: ({ tf, inputShape, classes, seed }) =>
    tf.sequential({
      layers: [
        tf.layers.flatten({ name: "pixels", inputShape: [...inputShape] }),
        tf.layers.dense({
          name: "hidden",
          units: 128,
          activation: "relu",
          kernelInitializer: tf.initializers.heNormal({ seed }),
        }),
        tf.layers.dense({
          name: "digit",
          units: classes, // raw scores: the trainer applies softmax itself
          kernelInitializer: tf.initializers.glorotUniform({ seed }),
        }),
      ],
    }),
});
