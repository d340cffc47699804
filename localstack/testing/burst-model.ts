import { defineModel } from "@accrete/pipeline";

export default defineModel({
  build: ({ tf, inputShape, classes }) =>
    tf.sequential({ layers: [tf.layers.dense({ name: "out", units: classes, inputShape: [...inputShape] })] }),
});
